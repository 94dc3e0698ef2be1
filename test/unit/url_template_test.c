/* sources: src/oauth/url_template.c src/base/url.c src/base/text.c */

/*
 * url_template_test.c
 *	  What url_template.c promises: a value fills its own place in a URL and no other, or
 *	  there is no URL.
 */
#include "postgres_fe.h"

#include "base/settings.h"
#include "oauth/url_template.h"
#include "tap.h"

bool guc_allow_insecure_loopback = false;

static const char *
value_of_a(void *context, const char *name)
{
	return strcmp(name, "a") == 0 ? context : strcmp(name, "b") == 0 ? "other" : NULL;
}

typedef struct Case
{
	const char *template;
	const char *value; /* of {a} */
	const char *url;   /* NULL: there is none */
} Case;

static const Case cases[] = {
	/* a part of the host's name */
	{"https://{a}.zendesk.com/oauth/tokens", "acme", "https://acme.zendesk.com/oauth/tokens"},
	{"https://{a}.zendesk.com/oauth/tokens", "acme.eu", "https://acme.eu.zendesk.com/oauth/tokens"},
	{"https://api.{a}.example/t", "eu", "https://api.eu.example/t"},
	{"https://{a}.zendesk.com/t", "", NULL},
	{"https://{a}.zendesk.com/t", "evil.example/", NULL},
	{"https://{a}.zendesk.com/t", "evil.example#", NULL},
	{"https://{a}.zendesk.com/t", "evil.example?", NULL},
	{"https://{a}.zendesk.com/t", "evil.example\\", NULL},
	{"https://{a}.zendesk.com/t", "evil.example:443/", NULL},
	{"https://{a}.zendesk.com/t", "evil.example:1", NULL},
	{"https://{a}.zendesk.com/t", "me@evil.example", NULL},
	{"https://{a}.zendesk.com/t", "me:x@evil", NULL},
	{"https://{a}.zendesk.com/t", "a%2eb", NULL},
	{"https://{a}.zendesk.com/t", "a b", NULL},
	{"https://{a}.zendesk.com/t", "a\nb", NULL},
	{"https://{a}.zendesk.com/t", ".", NULL},
	{"https://{a}.zendesk.com/t", "a.", NULL},
	{"https://{a}.zendesk.com/t", ".a", NULL},
	{"https://{a}.zendesk.com/t", "a..b", NULL},
	{"https://{a}.zendesk.com/t", "{b}", NULL},
	{"https://{a}.zendesk.com/t", "\xc3\xa4", NULL},
	/* a host */
	{"https://{a}/t", "git.example", "https://git.example/t"},
	{"https://{a}/t", "git.example:8443", "https://git.example:8443/t"},
	{"https://{a}/t", "git.example:", NULL},
	{"https://{a}/t", "git.example:84433333", NULL},
	{"https://{a}/t", "git.example:84x", NULL},
	{"https://{a}/t", "git.example/x", NULL},
	{"https://{a}:8443/t", "git.example", "https://git.example:8443/t"},
	{"https://{a}:8443/t", "git.example:1", NULL},
	{"https://{a}/t", "[::1]", NULL},
	{"https://{a}", "git.example", "https://git.example"},
	/* a segment, or part of one, of the path; a value in the query */
	{"https://x.example/{a}/token", "common", "https://x.example/common/token"},
	{"https://x.example/v{a}/token", "2.0", "https://x.example/v2.0/token"},
	{"https://x.example/{a}/token", "..", NULL},
	{"https://x.example/{a}/token", ".", NULL},
	{"https://x.example/{a}/token", "a/b", NULL},
	{"https://x.example/{a}/token", "a?b", NULL},
	{"https://x.example/{a}/token", "a#b", NULL},
	{"https://x.example/{a}/token", "%2e%2e", NULL},
	{"https://x.example/{a}/token", "", NULL},
	{"https://x.example/t?org={a}", "a-b_c~d.e", "https://x.example/t?org=a-b_c~d.e"},
	{"https://x.example/t?org={a}", "a&client_id=b", NULL},
	{"https://x.example/t?org={a}&v={b}", "1", "https://x.example/t?org=1&v=other"},
	{"https://x.example/{a}/{c}", "1", NULL},
	/* an origin, or what a URL begins with */
	{"{a}/oauth/token", "https://accounts.zoho.eu", "https://accounts.zoho.eu/oauth/token"},
	{"{a}/oauth/token", "https://accounts.zoho.eu/", "https://accounts.zoho.eu/oauth/token"},
	{"{a}oauth/token", "https://api.na1.adobesign.com/",
	 "https://api.na1.adobesign.com/oauth/token"},
	{"{a}/oauth/token", "https://x.example/base", "https://x.example/base/oauth/token"},
	{"{a}oauth/token", "https://api.na1.adobesign.com", NULL},
	{"{a}oauth/token", "https://api.na1.adobesign.com/x", NULL},
	{"{a}/oauth/token", "http://accounts.zoho.eu", NULL},
	{"{a}/oauth/token", "accounts.zoho.eu", NULL},
	{"{a}/oauth/token", "https://me@accounts.zoho.eu", NULL},
	{"{a}/oauth/token", "https://evil.example/?", NULL},
	{"{a}/oauth/token", "https://evil.example/#", NULL},
	{"{a}/oauth/token", "https://x.example/../y", NULL},
	{"{a}/oauth/token", "", NULL},
	/* without a field */
	{"https://x.example/token", "unused", "https://x.example/token"},
};

static const char *const no_templates[] = {
	"https://{a.example/t",
	"https://a}.example/t",
	"https://{}.example/t",
	"https://{a b}.example/t",
	"https://{a-b}.example/t",
	"https://{{a}}.example/t",
	"https://{a}{b}.example/t",
	"http{a}://x.example/t",
	"{a}://x.example/t",
	"{a}",
	"{a}.x.example/t",
	"{a}-x/t",
	"{a}@x.example/t",
	"x.example/{a}",
	"http://{a}.example/t",
	"https://{a}@x.example/t",
	"https://me:{a}@x.example/t",
	"https://x.example/#{a}",
	"https://x.example:{a}/t",
};

int
main(void)
{
	const char *lacking;
	const char **names;
	int count;
	char *text;

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		char *url = url_template_expand(cases[i].template, value_of_a,
										unconstify(char *, cases[i].value), &lacking);

		ok(url == NULL ? cases[i].url == NULL
					   : cases[i].url != NULL && strcmp(url, cases[i].url) == 0,
		   "%s with %s is %s", cases[i].template, cases[i].value,
		   cases[i].url ? cases[i].url : "none");
		ok(url_template_problem(cases[i].template) == NULL, "... and it is a template");
	}
	for (int i = 0; i < (int) lengthof(no_templates); i++)
		ok(url_template_problem(no_templates[i]) != NULL, "%s is no template: %s", no_templates[i],
		   url_template_problem(no_templates[i]) ? url_template_problem(no_templates[i]) : "");

	(void) url_template_expand("https://{b}.example/{c}", value_of_a, "x", &lacking);
	ok(strcmp(lacking, "c") == 0, "the field that is lacking is named");
	text = url_template_fix("https://{a}.example/{c}", value_of_a, "x");
	ok(strcmp(text, "https://x.example/{c}") == 0, "what is known is filled in, the rest stays");
	ok(url_is_template(text), "... and is a template still");
	text = url_template_fix("https://{a}.example/{c}", value_of_a, "a/b");
	ok(strcmp(text, "https://{a}.example/{c}") == 0, "nothing that does not fit is filled in");
	names = url_template_fields("https://{a}.example/{c}/{a}", &count);
	ok(count == 2 && strcmp(names[0], "a") == 0 && strcmp(names[1], "c") == 0,
	   "each field is named once");
	text = value_template_expand("bearer {a}, {\"json\": 1} {b}", value_of_a, "x y/z", &lacking);
	ok(text != NULL && strcmp(text, "bearer x y/z, {\"json\": 1} other") == 0,
	   "any text stands in a parameter's value");
	ok(value_template_expand("{c}", value_of_a, "x", &lacking) == NULL && strcmp(lacking, "c") == 0,
	   "... unless there is none");
	ok(strcmp(url_template_origin("https://{a}.example:1/x?y"), "https://{a}.example:1") == 0,
	   "the origin as it is written");
	ok(url_template_origin("{a}/x") == NULL, "... but of a field alone");
	ok(is_placeholder("{client_secret}") && !is_placeholder("{\"a\":\"{b}\"}") &&
		   !is_placeholder("{a}{b}") && !is_placeholder("{}") && !is_placeholder(""),
	   "a placeholder is one name in braces");
	return tap_done();
}
