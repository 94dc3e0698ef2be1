/*
 * url_template.h
 *	  Endpoints and parameters with fields in them: "https://{subdomain}.zendesk.com/oauth/tokens".
 *
 * A field stands for a part of the host's name, for a host with or without port, for
 * characters of the path or query, or, at the very beginning, for a whole origin.  What
 * surrounds it in the template stays what it is, whatever the value holds.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_URL_TEMPLATE_H
#define APPUSER_CONNECTORS_OAUTH_URL_TEMPLATE_H

#include <stdbool.h>

/* The value of a field; NULL when there is none.  It must not be freed before the end. */
typedef const char *(*TemplateValue)(void *context, const char *name);

/* Does it hold a field? */
extern bool url_is_template(const char *url);

/* Why it cannot be one (a stray brace, no URL around the fields), a sentence; NULL if it can. */
extern const char *url_template_problem(const char *template);

/* The names of its fields, palloc'ed, each once */
extern const char **url_template_fields(const char *template, int *count);

/*
 * The URL with its fields filled in, palloc'ed.  NULL where a value is missing or cannot
 * stand in its place; *lacking is that field's name.
 */
extern char *url_template_expand(const char *template, TemplateValue value, void *context,
								 const char **lacking);

/* The same, leaving fields without a value as they are */
extern char *url_template_fix(const char *template, TemplateValue value, void *context);

/*
 * A parameter's or header's value with fields filled in: any text may stand for them.
 * NULL where one is missing.  Braces that hold no name of a field stay.
 */
extern char *value_template_expand(const char *template, TemplateValue value, void *context,
								   const char **lacking);

/* Is it a name in braces and nothing else, as what a request fills in by itself is written? */
extern bool is_placeholder(const char *text);

/* "https://{subdomain}.zendesk.com" of a template, as it is written; NULL: a field alone */
extern char *url_template_origin(const char *template);

#endif
