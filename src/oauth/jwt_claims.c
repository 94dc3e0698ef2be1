/*
 * jwt_claims.c
 *	  What the claims of a verified JWT (RFC 7519) must say, and which app user
 *	  they name.
 *
 * A template such as "{org_id}:{sub}" makes the app user.  Two different sets of
 * claims must never make the same one, so a claim that holds a character of the
 * text between placeholders is refused instead of being escaped: what an admin
 * sees in a table is what the issuer wrote.
 *
 * Must not know signatures, keys or PostgreSQL's backend.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#include "base/json_tree.h"
#include "base/text.h"
#include "oauth/jwt_claims.h"

#define MICROSECONDS INT64CONST(1000000)
#define MAX_TIME INT64CONST(253402300800) /* the year 10000 */

/* A step through a template: some literal text, then a placeholder or its end */
typedef struct TemplatePart
{
	const char *text;
	size_t text_len;
	const char *name; /* NULL at the end */
	size_t name_len;
} TemplatePart;

static bool next_part(const char **rest, TemplatePart *part);
static bool names_audience(const JsonValue *aud, const ClaimsExpectation *expected);
static const char *claim_text(const JsonValue *claims, const char *name, size_t name_len);
static ClaimsResult make_app_user(const JsonValue *claims, const char *app_user_template,
								  char *app_user, size_t size);

/* False when the braces do not match; part->name is NULL at the end. */
static bool
next_part(const char **rest, TemplatePart *part)
{
	part->text = *rest;
	part->text_len = strcspn(*rest, "{}");
	*rest += part->text_len;
	part->name = NULL;
	part->name_len = 0;
	if (**rest == '\0')
		return true;
	if (**rest == '}')
		return false;
	part->name = *rest + 1;
	part->name_len = strcspn(part->name, "{}");
	*rest = part->name + part->name_len;
	if (**rest != '}')
		return false;
	(*rest)++;
	return true;
}

const char *
claims_template_problem(const char *app_user_template)
{
	const char *rest = app_user_template;
	TemplatePart part;
	int n_placeholders = 0;

	if (strlen(app_user_template) > MAX_APP_USER_TEMPLATE)
		return "It is longer than 256 bytes.";
	for (const char *c = app_user_template; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			return "It holds other characters than printable ASCII.";
	if (text_pasted_problem(app_user_template, false) != NULL)
		return "It begins or ends with a blank, or is between quotes.";
	for (;;)
	{
		if (!next_part(&rest, &part))
			return "Its braces do not match.";
		if (part.name == NULL)
			break;
		if (part.name_len == 0)
			return "A placeholder does not name a claim.";
		if (n_placeholders > 0 && part.text_len == 0)
			return "Two placeholders have nothing between them that tells their claims apart.";
		n_placeholders++;
	}
	return n_placeholders == 0 ? "It has no placeholder." : NULL;
}

bool
numeric_date(const JsonValue *value, int64_t *microseconds)
{
	double seconds;

	if (value == NULL || value->type != JSON_TOKEN_NUMBER)
		return false;
	seconds = strtod(value->text, NULL);
	/* before 1970, as of those who mean "always" */
	if (!(seconds > -MAX_TIME && seconds < MAX_TIME))
		return false;
	*microseconds = (int64_t) (seconds * MICROSECONDS);
	return true;
}

/*
 * What is known of all app users that a template makes.  {iss} is the issuer itself;
 * other claims are any text without the characters between placeholders.
 */
typedef struct TemplateShape
{
	StringInfoData prefix;
	StringInfoData suffix;
	int count[256];  /* of each byte, at least */
	bool fixed[256]; /* and never more */
} TemplateShape;

static TemplateShape *
template_shape(const char *app_user_template, const char *issuer)
{
	TemplateShape *shape = palloc0(sizeof(TemplateShape));
	const char *rest = app_user_template;
	TemplatePart part;
	bool any = false;
	int n_placeholders = 0;

	initStringInfo(&shape->prefix);
	initStringInfo(&shape->suffix);
	do
	{
		bool is_issuer;

		(void) next_part(&rest, &part);
		is_issuer = part.name != NULL && part.name_len == 3 && strncmp(part.name, "iss", 3) == 0;
		for (size_t i = 0; i < part.text_len; i++)
		{
			shape->count[(unsigned char) part.text[i]]++;
			if (n_placeholders > 0 && part.name != NULL)
				shape->fixed[(unsigned char) part.text[i]] = true;
		}
		for (const char *c = is_issuer ? issuer : ""; *c != '\0'; c++)
			shape->count[(unsigned char) *c]++;
		if (!any)
			appendBinaryStringInfo(&shape->prefix, part.text, (int) part.text_len);
		appendBinaryStringInfo(&shape->suffix, part.text, (int) part.text_len);
		if (is_issuer)
		{
			if (!any)
				appendStringInfoString(&shape->prefix, issuer);
			appendStringInfoString(&shape->suffix, issuer);
		}
		else if (part.name != NULL)
		{
			any = true;
			resetStringInfo(&shape->suffix);
		}
		n_placeholders++;
	} while (part.name != NULL);
	/* without another claim, prefix and suffix are both the whole text */
	return shape;
}

bool
claims_templates_disjoint(const char *template_a, const char *issuer_a, const char *template_b,
						  const char *issuer_b)
{
	const TemplateShape *a = template_shape(template_a, issuer_a);
	const TemplateShape *b = template_shape(template_b, issuer_b);
	int length = Min(a->prefix.len, b->prefix.len);

	if (memcmp(a->prefix.data, b->prefix.data, length) != 0)
		return true;
	length = Min(a->suffix.len, b->suffix.len);
	if (memcmp(a->suffix.data + a->suffix.len - length, b->suffix.data + b->suffix.len - length,
			   length) != 0)
		return true;
	for (int c = 0; c < 256; c++)
		if ((a->fixed[c] && b->count[c] > a->count[c]) ||
			(b->fixed[c] && a->count[c] > b->count[c]))
			return true;
	return false;
}

/* aud is a string or an array of them, RFC 7519 §4.1.3. */
static bool
names_audience(const JsonValue *aud, const ClaimsExpectation *expected)
{
	bool is_array = aud != NULL && aud->type == JSON_TOKEN_ARRAY_START;

	for (const JsonValue *one = is_array ? aud->first : aud; one != NULL;
		 one = is_array ? one->next : NULL)
		for (int i = 0; i < expected->n_audiences; i++)
			if (json_string(one) != NULL && strcmp(json_string(one), expected->audiences[i]) == 0)
				return true;
	return false;
}

/*
 * The text of a non-empty string or of an integer, NULL for anything else.  Dots
 * lead into nested objects, except in names that are URLs, as those of private
 * claims often are: which it is depends on the template alone.
 */
static const char *
claim_text(const JsonValue *claims, const char *name, size_t name_len)
{
	char whole[MAX_APP_USER_TEMPLATE + 1];
	char *component = whole;
	const JsonValue *value = claims;

	strlcpy(whole, name, Min(name_len + 1, sizeof(whole)));
	if (strstr(whole, "://") == NULL)
	{
		char *dot;

		while ((dot = strchr(component, '.')) != NULL)
		{
			*dot = '\0';
			value = json_member(value, component);
			component = dot + 1;
		}
	}
	value = json_member(value, component);
	if (value == NULL)
		return NULL;
	if (value->type == JSON_TOKEN_STRING && value->text[0] != '\0')
		return value->text;
	if (value->type == JSON_TOKEN_NUMBER &&
		strspn(value->text, "-0123456789") == strlen(value->text))
		return value->text;
	return NULL;
}

static ClaimsResult
make_app_user(const JsonValue *claims, const char *app_user_template, char *app_user, size_t size)
{
	char separators[MAX_APP_USER_TEMPLATE + 1] = "";
	const char *rest = app_user_template;
	TemplatePart part;
	int n_placeholders = 0;
	size_t len = 0;

	/* it may have been edited by SQL */
	if (claims_template_problem(app_user_template) != NULL)
		return CLAIMS_WITHOUT_APP_USER;
	while (next_part(&rest, &part) && part.name != NULL)
		if (n_placeholders++ > 0)
			strncat(separators, part.text, part.text_len);

	rest = app_user_template;
	do
	{
		const char *text = "";

		(void) next_part(&rest, &part);
		if (part.name != NULL)
		{
			text = claim_text(claims, part.name, part.name_len);
			if (text == NULL)
				return CLAIMS_WITHOUT_APP_USER;
			if (strpbrk(text, separators) != NULL)
				return CLAIMS_APP_USER_AMBIGUOUS;
			if (text_has_controls(text))
				return CLAIMS_APP_USER_CONTROL;
		}
		if (len + part.text_len + strlen(text) >= size)
			return CLAIMS_APP_USER_TOO_LONG;
		memcpy(app_user + len, part.text, part.text_len);
		len += part.text_len;
		strcpy(app_user + len, text);
		len += strlen(text);
	} while (part.name != NULL);
	return CLAIMS_ACCEPTED;
}

ClaimsResult
claims_check(const char *payload, size_t len, const ClaimsExpectation *expected, char *app_user,
			 size_t app_user_size, int64_t *expires_at)
{
	const JsonValue *claims = json_parse_object(payload, len);
	const JsonValue *nbf = json_member(claims, "nbf");
	const JsonValue *iat = json_member(claims, "iat");
	const char *iss = json_string(json_member(claims, "iss"));
	int64_t time;

	if (claims == NULL)
		return CLAIMS_MALFORMED;
	if (iss == NULL || strcmp(iss, expected->issuer) != 0)
		return CLAIMS_ISSUER;
	if (expected->n_audiences > 0 && !names_audience(json_member(claims, "aud"), expected))
		return CLAIMS_AUDIENCE;
	/* a security event (RFC 8417), such as a logout token, says that something happened */
	if (json_member(claims, "events") != NULL)
		return CLAIMS_SECURITY_EVENT;
	if (!numeric_date(json_member(claims, "exp"), &time))
		return CLAIMS_WITHOUT_EXPIRY;
	*expires_at = time + expected->clock_skew;
	if (expected->now >= *expires_at)
		return CLAIMS_EXPIRED;
	if (nbf != NULL && (!numeric_date(nbf, &time) || time > expected->now + expected->clock_skew))
		return CLAIMS_NOT_YET_VALID;
	if (iat != NULL && (!numeric_date(iat, &time) || time > expected->now + expected->clock_skew))
		return CLAIMS_ISSUED_AT;
	return make_app_user(claims, expected->app_user_template, app_user, app_user_size);
}

const char *
claims_result_text(ClaimsResult result)
{
	switch (result)
	{
		case CLAIMS_ACCEPTED:
			return "accepted";
		case CLAIMS_MALFORMED:
			return "its claims are not a JSON object";
		case CLAIMS_ISSUER:
			return "from another issuer";
		case CLAIMS_AUDIENCE:
			return "for another audience";
		case CLAIMS_SECURITY_EVENT:
			return "it is a security event, not a token of a person";
		case CLAIMS_APP_USER_CONTROL:
			return "a claim that names the app user holds a control character";
		case CLAIMS_WITHOUT_EXPIRY:
			return "without a usable exp claim";
		case CLAIMS_EXPIRED:
			return "expired";
		case CLAIMS_NOT_YET_VALID:
			return "not valid yet";
		case CLAIMS_ISSUED_AT:
			return "issued in the future";
		case CLAIMS_WITHOUT_APP_USER:
			return "a claim that names the app user is missing, empty, or neither a string nor an "
				   "integer";
		case CLAIMS_APP_USER_AMBIGUOUS:
			return "a claim that names the app user holds a separator of the template";
		case CLAIMS_APP_USER_TOO_LONG:
			return "its claims make an app user that is too long";
	}
	return "refused";
}
