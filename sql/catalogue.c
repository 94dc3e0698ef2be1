/* sources: src/oauth/definition.c src/oauth/definition_member.c src/oauth/url_template.c src/oauth/sandbox.c src/oauth/profile.c src/oauth/definition_value.c src/base/json_tree.c src/base/url.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/oauth/request.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/base/text.c */

/*
 * catalogue.c
 *	  Joins the files of sql/providers into the part of the install script that fills the
 *	  catalogue; run by make.
 *
 *	catalogue [--replace] FILE...
 *
 * --replace: the part of an upgrade script that puts this catalogue in the place of the one
 * that is there.
 *
 * Each file describes one provider, whose key is the file's name.  Its definition is held
 * to the same rules as one that register_provider() is given, by the same code
 * (src/oauth/definition.c): what that would refuse makes the build fail.
 */
#include "postgres_fe.h"

#include "base/settings.h"
#include "base/text.h"
#include "oauth/definition.h"

#define MAX_FILE (64 * 1024) /* bytes, as of a definition */
#define QUOTE "$provider$"

bool guc_allow_insecure_loopback = false;

/* What is said of a provider besides its definition */
typedef enum FactKind
{
	FACT_TEXT,
	FACT_URL,
	FACT_TEXTS,
	FACT_COUNT,
	FACT_DEFINITION
} FactKind;

static const struct
{
	const char *name;
	FactKind kind;
	bool required;
} facts[] = {
	{"name", FACT_TEXT, true},
	{"categories", FACT_TEXTS, true},
	{"docs_url", FACT_URL, false},
	{"endpoint_sources", FACT_COUNT, false}, /* that have these very endpoints */
	{"unverified", FACT_TEXTS, false},       /* members that no source says, or from memory */
	{"notes", FACT_TEXTS, false},
	{"definition", FACT_DEFINITION, false},
	{"unsupported", FACT_TEXT, false}, /* why there is no definition */
};

static const char *file; /* that is read now */

static void fail(const char *format, ...) pg_attribute_printf(1, 2) pg_attribute_noreturn();

static void
fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", file);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static char *
read_file(size_t *length)
{
	FILE *in = fopen(file, "r");
	char *text = pg_malloc(MAX_FILE + 1);

	if (in == NULL)
		fail("cannot be opened");
	*length = fread(text, 1, MAX_FILE + 1, in);
	fclose(in);
	if (*length > MAX_FILE)
		fail("is larger than %d bytes", MAX_FILE);
	text[*length] = '\0';
	return text;
}

/* The file's name without folder and .json */
static char *
key_of_file(void)
{
	const char *name = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	if (length == 0 || strcmp(name + length, ".json") != 0)
		fail("must be named by lower case letters, digits and \"_\", and end in .json");
	return pnstrdup(name, length);
}

static void
check_definition(const JsonValue *definition)
{
	const DefinitionProblem *problem = definition_problem(definition);

	if (problem == NULL)
		return;
	switch (problem->fault)
	{
		case DEFINITION_NOT_AN_OBJECT:
			fail("its definition is no object");
		case DEFINITION_UNKNOWN_NAME:
			fail("unknown name \"%s\" in its definition", problem->name);
		case DEFINITION_INVALID_VALUE:
			fail("invalid value for \"%s\": %s", problem->name, problem->detail);
		case DEFINITION_LACKS_ENDPOINT:
			fail("%s", problem->detail);
	}
}

static void
check_fact(const char *name, FactKind kind, const JsonValue *value)
{
	const char *text = json_string(value);

	switch (kind)
	{
		case FACT_TEXT:
			if (text == NULL || text[0] == '\0' || text_has_controls(text))
				fail("\"%s\" must be a text", name);
			break;
		case FACT_URL:
			if (text == NULL || strncmp(text, "https://", 8) != 0 || text_has_controls(text))
				fail("\"%s\" must be an https URL", name);
			break;
		case FACT_COUNT:
			if (value->type != JSON_TOKEN_NUMBER)
				fail("\"%s\" must be a number", name);
			break;
		case FACT_TEXTS:
			if (value->type != JSON_TOKEN_ARRAY_START)
				fail("\"%s\" must be an array of texts", name);
			for (const JsonValue *element = value->first; element != NULL; element = element->next)
				check_fact(name, FACT_TEXT, element);
			break;
		case FACT_DEFINITION:
			check_definition(value);
			break;
	}
}

static void
check_entry(const JsonValue *entry)
{
	if (entry == NULL)
		fail("is no JSON object, or has a name twice");
	for (const JsonValue *value = entry->first; value != NULL; value = value->next)
	{
		int i = 0;

		while (i < (int) lengthof(facts) && strcmp(facts[i].name, value->name) != 0)
			i++;
		if (i == (int) lengthof(facts))
			fail("unknown name \"%s\"", value->name);
		check_fact(value->name, facts[i].kind, value);
	}
	for (int i = 0; i < (int) lengthof(facts); i++)
		if (facts[i].required && json_member(entry, facts[i].name) == NULL)
			fail("lacks \"%s\"", facts[i].name);
	if ((json_member(entry, "definition") == NULL) == (json_member(entry, "unsupported") == NULL))
		fail("must have either \"definition\" or \"unsupported\"");
}

int
main(int argc, char **argv)
{
	int first = 1;

	if (argc > 1 && strcmp(argv[1], "--replace") == 0)
	{
		puts("\n-- The former version's.  Connectors have copies of their own.\n"
			 "DELETE FROM appuser_connectors.provider_catalogue;");
		first = 2;
	}
	puts("\n-- What sql/providers holds.  The definition's own name is the provider's.\n"
		 "INSERT INTO appuser_connectors.provider_catalogue\n"
		 "SELECT e.provider, f.name, f.categories, f.docs_url, f.endpoint_sources,\n"
		 "\t   COALESCE(f.unverified, '{}'), COALESCE(f.notes, '{}'),\n"
		 "\t   f.definition OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('name', f.name), "
		 "f.unsupported\n"
		 "FROM (VALUES");
	for (int i = first; i < argc; i++)
	{
		size_t length;
		char *text;
		char *key;

		file = argv[i];
		key = key_of_file();
		text = read_file(&length);
		check_entry(json_parse_object(text, length));
		if (strstr(text, QUOTE) != NULL)
			fail("must not hold %s", QUOTE);
		printf("('%s', " QUOTE "%s" QUOTE "::pg_catalog.jsonb)%s\n", key, text,
			   i + 1 < argc ? "," : "");
		free(text);
	}
	puts(") AS e(provider, facts),\n"
		 "\t pg_catalog.jsonb_to_record(e.facts) AS f(name text, categories text[], docs_url text, "
		 "endpoint_sources integer,\n"
		 "\t\tunverified text[], notes text[], definition jsonb, unsupported text);");
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
