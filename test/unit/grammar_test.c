/* sources: src/oauth/response.c src/oauth/date.c src/oauth/answer_error.c src/oauth/body.c src/oauth/scope.c src/oauth/jwt_claims.c src/oauth/definition.c src/oauth/definition_member.c src/oauth/url_template.c src/oauth/sandbox.c src/oauth/profile.c src/oauth/definition_value.c src/oauth/request.c src/oauth/retry_after.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/base/json_tree.c src/base/base64.c src/base/secret.c src/base/text.c src/base/url.c src/oauth/echo.c */
/*
 * grammar_test.c
 *	  What a value from outside may look like, and what an admin may type: a table to
 *	  look up whether something is taken, as what, and by which rule.
 *
 * From outside everything is taken that the standards allow, and what well-known servers
 * send besides where that does no harm.  What an admin gives is refused, at once and with
 * what to do, where it can never be right.
 */
#include "postgres_fe.h"

#include "base/json_tree.h"
#include "base/settings.h"
#include "base/text.h"
#include "base/url.h"
#include "crypto/jwt.h"
#include "oauth/definition.h"
#include "oauth/jwt_claims.h"
#include "oauth/response.h"
#include "oauth/retry_after.h"
#include "oauth/scope.h"
#include "tap.h"

#define BOM "\xef\xbb\xbf"
#define NBSP "\xc2\xa0"
#define ZERO_WIDTH_SPACE "\xe2\x80\x8b"
#define WORD_JOINER "\xe2\x81\xa0"
#define ENDPOINTS                                                                                  \
	"\"authorization_endpoint\":\"https://a.example/auth\",\"token_endpoint\":"                    \
	"\"https://a.example/token\""

bool guc_allow_insecure_loopback = false;

/* Why the last value was refused */
static const char *why;

static const char *
accepted(const char *problem, const char *value)
{
	why = problem;
	return problem == NULL ? value : NULL;
}

/* ------------------------------------------------------- readers: from outside */

static TokenResponse *
answer(bool form, int status, const char *body)
{
	static TokenResponse response;
	OAuthClient client = {.scope_separator = " ",
						  .default_expires_in = -1,
						  .form_token_response = form,
						  .zero_expires_in = ZERO_IS_EXPIRED};

	parse_token_response(&client, status, NULL, body, strlen(body), &response);
	why = response.malformed;
	return &response;
}

static const char *
json_body(const char *value)
{
	return answer(false, 200, value)->access_token;
}

static const char *
form_body(const char *value)
{
	return answer(true, 200, value)->access_token;
}

static const char *
access_token(const char *value)
{
	return json_body(psprintf("{\"access_token\":%s}", value));
}

static const char *
refresh_token(const char *value)
{
	return answer(false, 200, psprintf("{\"access_token\":\"t\",\"refresh_token\":%s}", value))
		->refresh_token;
}

static const char *
token_type(const char *value)
{
	return answer(false, 200, psprintf("{\"access_token\":\"t\",\"token_type\":%s}", value))
		->token_type;
}

static const char *
expires_in(const char *value)
{
	const TokenResponse *response =
		answer(false, 200, psprintf("{\"access_token\":\"t\",\"expires_in\":%s}", value));

	if (response->outcome != TOKEN_GRANTED)
		return "the token is lost";
	return response->expires_in_ignored ? NULL : psprintf("%d", (int) response->expires_in);
}

static const char *
expires_in_form(const char *value)
{
	return psprintf(
		"%d", (int) answer(true, 200, psprintf("access_token=t&expires_in=%s", value))->expires_in);
}

static const char *
joined(const TokenResponse *response)
{
	char *text = pstrdup("");

	for (int i = 0; i < response->n_scopes; i++)
		text = psprintf("%s%s%s", text, i > 0 ? "|" : "", response->scopes[i]);
	return response->has_scope ? text : NULL;
}

static const char *
scopes(const char *value)
{
	return joined(answer(false, 200, psprintf("{\"access_token\":\"t\",\"scope\":%s}", value)));
}

static const char *
callback_scopes(const char *value)
{
	TokenResponse response = {0};
	OAuthClient client = {.scope_separator = " "};

	read_scope_text(&client, value, &response);
	return joined(&response);
}

static const char *
outcome_name(TokenOutcome outcome)
{
	switch (outcome)
	{
		case TOKEN_GRANTED:
			return "granted";
		case TOKEN_INVALID_GRANT:
			return "the grant is dead";
		case TOKEN_INVALID_CLIENT:
			return "the client is refused";
		case TOKEN_REFUSED:
			return "refused in words of its own";
		case TOKEN_RATE_LIMITED:
			return "too fast";
		case TOKEN_UNAVAILABLE:
			return "unavailable";
		case TOKEN_MALFORMED:
			return NULL;
	}
	return NULL;
}

static const char *
error(const char *value)
{
	return outcome_name(answer(false, 400, psprintf("{\"error\":%s}", value))->outcome);
}

static const char *
error_body(const char *value)
{
	return outcome_name(answer(true, 400, value)->outcome);
}

static const char *
error_description(const char *value)
{
	return answer(false, 400, psprintf("{\"error\":\"e\",\"error_description\":%s}", value))
		->error_description;
}

static const char *
revocation_error(const char *value)
{
	char error[MAX_ERROR_CODE + 1];
	char description[MAX_ERROR_DESCRIPTION + 1];

	return classify_revocation_response(&(OAuthClient){0}, 400, value, strlen(value), error,
										description) == REVOCATION_DEAD
			   ? "dead"
			   : NULL;
}

static const char *
callback_error(const char *value)
{
	why = "It is no code.";
	return valid_error_code(value) ? value : NULL;
}

static const char *
numeric(const char *value)
{
	const JsonValue *object =
		json_parse_object(value, strlen(value)); /* {"exp":…}, since values are no documents */
	int64_t microseconds;

	why = "It is no NumericDate.";
	return numeric_date(json_member(object, "exp"), &microseconds)
			   ? psprintf("%.6f", microseconds / 1000000.0)
			   : NULL;
}

static const char *
not_before(const char *value)
{
	ClaimsExpectation expected = {.issuer = "https://i.example",
								  .app_user_template = "{sub}",
								  .now = INT64CONST(1700000000) * 1000000};
	char *claims = psprintf("{\"iss\":\"https://i.example\",\"sub\":\"a\",\"exp\":1700000001,"
							"\"nbf\":%s}",
							value);
	char app_user[64];
	int64_t expires_at;
	ClaimsResult result =
		claims_check(claims, strlen(claims), &expected, app_user, sizeof(app_user), &expires_at);

	why = claims_result_text(result);
	return result == CLAIMS_ACCEPTED ? "valid" : NULL;
}

static const char *
retry_after(const char *value)
{
	int seconds = parse_retry_after(value, INT64CONST(1700000000));

	return seconds >= 0 ? psprintf("%d", seconds) : NULL;
}

static const char *
key_set(const char *value)
{
	int usable = 0;
	JwtKeySet *keys = jwt_keys_parse(value, strlen(value), &usable);

	jwt_keys_free(keys);
	return keys != NULL ? psprintf("%d", usable) : NULL;
}

/* --------------------------------------------------- readers: what an admin gives */

/* client_id, connector_id, provider, issuer and audiences of register_issuer */
static const char *
name(const char *value)
{
	return accepted(text_pasted_problem(value, false), value);
}

static const char *
secret(const char *value)
{
	return accepted(text_pasted_problem(value, true),
					text_is_quoted(value) ? "with a warning" : value);
}

static const char *
endpoint(const char *value)
{
	return accepted(url_endpoint_problem(value), value);
}

static const char *
redirect_uri(const char *value)
{
	return accepted(url_redirect_problem(value), value);
}

static const char *
scope(const char *value)
{
	return accepted(scope_problem(value), value);
}

static const char *
user_template(const char *value)
{
	return accepted(claims_template_problem(value), value);
}

static const char *
definition(const char *value)
{
	const char *json = psprintf("{" ENDPOINTS ",%s}", value);
	const DefinitionProblem *problem = definition_problem(json_parse_object(json, strlen(json)));

	return accepted(problem == NULL           ? NULL
					: problem->detail != NULL ? problem->detail
											  : "JSON",
					value);
}

/* ------------------------------------------------------------------- the table */

#define SAME "as it is"

static const struct
{
	const char *(*reader)(const char *value);
	const char *where; /* and by which rule */
	const char *value;
	const char *as; /* NULL: refused */
} table[] = {
	/* the body of an answer: RFC 8259, and white space and marks around it */
	{json_body, "token answer", "{\"access_token\":\"t\"}", "t"},
	{json_body, "token answer", " \t\r\n{ \"access_token\" : \"t\" } \r\n", "t"},
	{json_body, "token answer (RFC 8259 8.1)", BOM "{\"access_token\":\"t\"}", "t"},
	{json_body, "token answer", BOM " \n{\"access_token\":\"t\"}", "t"},
	{json_body, "token answer (RFC 6749 3.2)", "{\"access_token\":\"t\",\"access_token\":\"u\"}",
	 NULL},
	{json_body, "token answer", "[{\"access_token\":\"t\"}]", NULL},
	{json_body, "token answer", NBSP "{\"access_token\":\"t\"}", NULL},
	{form_body, "form answer", "access_token=t&token_type=bearer", "t"},
	{form_body, "form answer", "\r\n access_token=t \r\n", "t"},
	{form_body, "form answer", BOM "access_token=t", "t"},
	{form_body, "form answer (WHATWG URL 5.1)", "access_token=t&", "t"},
	{form_body, "form answer (WHATWG URL 5.1)", "&access_token=t&&scope=", "t"},
	{form_body, "form answer", "access_token=a%2Bb+c%20d", "a+b c d"},
	{form_body, "form answer", "access_token=a=b==", "a=b=="},
	{form_body, "form answer, not encoded", "access_token=t&name=Z\xc3\xbcrich", "t"},
	{form_body, "form answer", "access_token=t&name=Z\xfcrich", NULL},
	{form_body, "form answer", "access_token=t&access_token=u", NULL},
	{form_body, "form answer", "access_token=100%", NULL},
	{form_body, "form answer", "<html>a=b</html>", NULL},
	{form_body, "form answer", "Bad Request", NULL},
	{form_body, "form answer that is JSON", "{\"access_token\":\"t\"}", "t"},

	/* RFC 6749 appendix A.12, A.17: 1*VSCHAR */
	{access_token, "access_token", "\"2YotnFZFEjr1zCsicMWpAA\"", "2YotnFZFEjr1zCsicMWpAA"},
	{access_token, "access_token", "\"a \\\"b\\\\ ~\"", "a \"b\\ ~"},
	{access_token, "access_token", "\"\"", NULL},
	{access_token, "access_token", "\"a\\nb\"", NULL},
	{access_token, "access_token", "\"a\\u00e9\"", NULL},
	{access_token, "access_token", "17", NULL},
	{refresh_token, "refresh_token", "\"r~ 1\"", "r~ 1"},
	{refresh_token, "refresh_token that is none", "\"\"", NULL},
	{refresh_token, "refresh_token that is none", "null", NULL},
	{refresh_token, "refresh_token", "17", NULL},

	/* RFC 6749 appendix A.13, §5.1: case insensitive */
	{token_type, "token_type", "\"Bearer\"", "Bearer"},
	{token_type, "token_type", "\"bearer\"", "Bearer"},
	{token_type, "token_type", "\"BEARER\"", "Bearer"},
	{token_type, "token_type", "\" Bearer \"", "Bearer"},
	{token_type, "token_type that is none", "\"\"", "Bearer"},
	{token_type, "token_type that is none", "null", "Bearer"},
	{token_type, "token_type", "\"mac\"", NULL},
	{token_type, "token_type", "\"DPoP\"", NULL},
	{token_type, "token_type", "\"Bearer x\"", NULL},
	{token_type, "token_type", "1", NULL},

	/* RFC 6749 appendix A.14: 1*DIGIT; as JSON a number, and what servers make of it */
	{expires_in, "expires_in", "3600", "3600"},
	{expires_in, "expires_in", "0", "0"},
	{expires_in, "expires_in", "3600.0", "3600"},
	{expires_in, "expires_in", "3599.99", "3599"},
	{expires_in, "expires_in", "3.6e3", "3600"},
	{expires_in, "expires_in", "36E2", "3600"},
	{expires_in, "expires_in", "\"3600\"", "3600"},
	{expires_in, "expires_in", "\" 3600 \"", "3600"},
	{expires_in, "expires_in", "\"3600\\n\"", "3600"},
	{expires_in, "expires_in", "\"3600.0\"", "3600"},
	{expires_in, "expires_in", "\"0003600\"", "3600"},
	{expires_in, "expires_in", "\"00\"", "0"},
	{expires_in, "expires_in that is none", "\"\"", "-1"},
	{expires_in, "expires_in that is none", "\" \"", "-1"},
	{expires_in, "expires_in that is none", "null", "-1"},
	{expires_in, "expires_in, told in an event", "-1", NULL},
	{expires_in, "expires_in, told in an event", "\"-3600\"", NULL},
	{expires_in, "expires_in, told in an event", "\"+3600\"", NULL},
	{expires_in, "expires_in, told in an event", "\"3600s\"", NULL},
	{expires_in, "expires_in, told in an event", "\"0x10\"", NULL},
	{expires_in, "expires_in, told in an event", "\"1 hour\"", NULL},
	{expires_in, "expires_in, told in an event", "\"1e999\"", NULL},
	{expires_in, "expires_in, told in an event", "\"nan\"", NULL},
	{expires_in, "expires_in, a date", "1700003600", NULL},
	{expires_in, "expires_in, told in an event", "true", NULL},
	{expires_in_form, "expires_in of a form", "3600", "3600"},
	{expires_in_form, "expires_in of a form", "03600", "3600"},
	{expires_in_form, "expires_in of a form", "+3600+", "3600"},

	/* RFC 6749 §3.3: scope-tokens and single spaces; servers separate by more */
	{scopes, "scope of an answer", "\"a b\"", "a|b"},
	{scopes, "scope of an answer", "\" a  b \"", "a|b"},
	{scopes, "scope of an answer", "\"a,b\"", "a|b"},
	{scopes, "scope of an answer", "\"a, b,,c\"", "a|b|c"},
	{scopes, "scope of an answer", "\"a\\tb\\r\\nc\"", "a|b|c"},
	{scopes, "scope of an answer", "[\"a\",\"b c\"]", "a|b|c"},
	{scopes, "scope of an answer", "\"https://p.example/auth/x.y:z\"",
	 "https://p.example/auth/x.y:z"},
	{scopes, "scope of an answer", "\"a a b\"", "a|b"},
	{scopes, "scope of an answer that grants nothing", "\"\"", ""},
	{scopes, "scope of an answer that says nothing", "null", NULL},
	{scopes, "scope of an answer that says nothing", "1", NULL},
	{scopes, "scope of an answer, what is none left out", "\"a \\\"b\\\" \\u00e9 c\"", "a|c"},
	{callback_scopes, "scope of a callback", "read,activity:read_all", "read|activity:read_all"},
	{callback_scopes, "scope of a callback", "read activity", "read|activity"},

	/* RFC 6749 appendix A.7, A.8: NQSCHAR */
	{error, "error of an answer", "\"invalid_grant\"", "the grant is dead"},
	{error, "error of an answer", "\"INVALID_GRANT\"", "the grant is dead"},
	{error, "error of an answer", "\" invalid_grant \"", "the grant is dead"},
	{error, "error of an answer", "\"invalid_client\"", "the client is refused"},
	{error, "error of an answer", "\"slow_down\"", "too fast"},
	{error, "error of an answer", "\"invalid grant\"", "refused in words of its own"},
	{error, "error of an answer", "\"invalid_grants\"", "refused in words of its own"},
	{error, "error of an answer", "{\"code\":\"invalid_grant\"}", "the grant is dead"},
	{error_body, "answer that is an error", BOM "{\"error\":\"invalid_grant\"}",
	 "the grant is dead"},
	{error_body, "answer that is an error", "error=invalid_grant&", "the grant is dead"},
	{error_description, "error_description", "\"It is dead.\"", "It is dead."},
	{error_description, "error_description", "\"l\\u00e4ngst \\u0007\"", "l??ngst ?"},
	{revocation_error, "answer to a revocation", "{\"error\":\"invalid_token\"}", "dead"},
	{revocation_error, "answer to a revocation", BOM "{\"error\":\"INVALID_TOKEN\"}", "dead"},
	{revocation_error, "answer to a revocation", "{\"error\":\"invalid_client\"}", NULL},
	{callback_error, "error of a callback", "access_denied", SAME},
	{callback_error, "error of a callback", "Access denied by #1!", SAME},
	{callback_error, "error of a callback", "a\"b", NULL},
	{callback_error, "error of a callback", "a\\b", NULL},
	{callback_error, "error of a callback", "a\nb", NULL},
	{callback_error, "error of a callback", "", NULL},

	/* RFC 7519 §2: a number of seconds, which need not be whole */
	{numeric, "NumericDate", "{\"exp\":1700000000}", "1700000000.000000"},
	{numeric, "NumericDate", "{\"exp\":1700000000.5}", "1700000000.500000"},
	{numeric, "NumericDate", "{\"exp\":1.7e9}", "1700000000.000000"},
	{numeric, "NumericDate", "{\"exp\":17E+8}", "1700000000.000000"},
	{numeric, "NumericDate", "{\"exp\":0}", "0.000000"},
	{numeric, "NumericDate before 1970", "{\"exp\":-62135596800}", "-62135596800.000000"},
	{numeric, "NumericDate", "{\"exp\":\"1700000000\"}", NULL},
	{numeric, "NumericDate", "{\"exp\":null}", NULL},
	{numeric, "NumericDate in milliseconds", "{\"exp\":1700000000000}", NULL},
	{numeric, "NumericDate", "{\"exp\":1e400}", NULL},
	{not_before, "nbf", "0", "valid"},
	{not_before, "nbf, the first day of .NET", "-62135596800", "valid"},
	{not_before, "nbf", "1700000000.0", "valid"},
	{not_before, "nbf", "1700000000.5", NULL},
	{not_before, "nbf", "\"1700000000\"", NULL},

	/* RFC 9110 §10.2.3 */
	{retry_after, "Retry-After", "120", "120"},
	{retry_after, "Retry-After", " 120 ", "120"},
	{retry_after, "Retry-After", "Tue, 14 Nov 2023 22:14:20 GMT", "60"},
	{retry_after, "Retry-After with a fraction", "2.0", "2"},
	{retry_after, "Retry-After with a fraction", "0.5", "1"},
	{retry_after, "Retry-After of a day at most", "99999999999.5", "86400"},
	{retry_after, "Retry-After", "1.5s", NULL},
	{retry_after, "Retry-After", "-5", NULL},
	{retry_after, "Retry-After", "soon", NULL},

	/* RFC 7517 §5 */
	{key_set, "jwks_uri", "{\"keys\":[]}", "0"},
	{key_set, "jwks_uri", BOM "\r\n{\"keys\":[]}\n", "0"},
	{key_set, "jwks_uri", "[]", NULL},

	/* what is compared byte by byte: client_id, connector_id, provider, issuer, audiences */
	{name, "client_id (RFC 6749 A.1)", "s6BhdRkqt3", SAME},
	{name, "client_id", "my app.apps.example", SAME},
	{name, "client_id", "kli\xc3\xa9nt-\xe5\xae\xa2", SAME},
	{name, "client_id", "a\"b", SAME},
	{name, "client_id", " s6BhdRkqt3", NULL},
	{name, "client_id", "s6BhdRkqt3\n", NULL},
	{name, "client_id", "s6BhdRkqt3\r\n", NULL},
	{name, "client_id", "s6Bh\tdRkqt3", NULL},
	{name, "client_id", NBSP "s6BhdRkqt3", NULL},
	{name, "client_id", "s6BhdRkqt3" NBSP, NULL},
	{name, "client_id", BOM "s6BhdRkqt3", NULL},
	{name, "client_id", "s6Bhd" ZERO_WIDTH_SPACE "Rkqt3", NULL},
	{name, "client_id", "s6BhdRkqt3" WORD_JOINER, NULL},
	{name, "client_id", "s6Bhd\xc2\xadRkqt3", NULL},
	{name, "client_id", "\"s6BhdRkqt3\"", NULL},
	{name, "client_id", "'s6BhdRkqt3'", NULL},
	{name, "client_id", "`s6BhdRkqt3`", NULL},
	{name, "client_id", "“s6BhdRkqt3”", NULL},
	{name, "client_id", "‘s6BhdRkqt3’", NULL},
	{name, "client_id", "«s6BhdRkqt3»", NULL},
	{name, "client_id", "<your client id>", NULL},
	{name, "client_id", "${CLIENT_ID}", NULL},
	{name, "client_id", "{{ client_id }}", NULL},
	{name, "client_id", "{s6Bh}dRkqt3", SAME},
	{secret, "client_secret", "7Fjfp0ZBr1KtDRbnfVdmIw", SAME},
	{secret, "client_secret", "p~ss \"w\" +/&=%20", SAME},
	{secret, "client_secret", "\"7Fjfp0ZB\"", "with a warning"},
	{secret, "client_secret", "“7Fjfp0ZB”", NULL},
	{secret, "client_secret", "7Fjfp0ZB\n", NULL},
	{secret, "client_secret", "${CLIENT_SECRET}", NULL},
	{secret, "client_secret", "7Fjfp0ZB ", NULL},
	{secret, "client_secret", "\t7Fjfp0ZB", NULL},
	{secret, "client_secret", BOM "7Fjfp0ZB", NULL},
	{secret, "client_secret", "7Fjf" ZERO_WIDTH_SPACE "p0ZB", NULL},
	{secret, "client_secret", "7Fjfp0ZB" NBSP, NULL},

	/* URLs: RFC 3986, https, and RFC 8252 for where the browser comes back */
	{endpoint, "token_endpoint", "https://p.example/token?x=1", SAME},
	{endpoint, "token_endpoint", "HTTPS://p.example:8443", SAME},
	{endpoint, "token_endpoint", "https://xn--bcher-kva.example/token", SAME},
	{endpoint, "token_endpoint",
	 "https://b\xc3\xbc"
	 "cher.example/token",
	 NULL},
	{endpoint, "token_endpoint", "https://p.example/token ", NULL},
	{endpoint, "token_endpoint", "\nhttps://p.example/token", NULL},
	{endpoint, "token_endpoint", "\"https://p.example/token\"", NULL},
	{endpoint, "token_endpoint", "<https://p.example/token>", NULL},
	{endpoint, "token_endpoint", "https://p.example/to" ZERO_WIDTH_SPACE "ken", NULL},
	{endpoint, "token_endpoint", "https://p.example/to ken", NULL},
	{endpoint, "token_endpoint", "p.example/token", NULL},
	{endpoint, "token_endpoint", "http://p.example/token", NULL},
	{endpoint, "token_endpoint", "https://user:pw@p.example/token", NULL},
	{endpoint, "token_endpoint", "https://p.example/token#x", NULL},
	{redirect_uri, "redirect_uris", "https://app.example/cb?x=%20", SAME},
	{redirect_uri, "redirect_uris", "http://127.0.0.1/cb", SAME},
	{redirect_uri, "redirect_uris", "com.example.app:/cb", SAME},
	{redirect_uri, "redirect_uris", "https://app.example/cb ", NULL},
	{redirect_uri, "redirect_uris", "https://app.example/cb\n", NULL},
	{redirect_uri, "redirect_uris", "“https://app.example/cb”", NULL},
	{redirect_uri, "redirect_uris", "https://app.example/cb" BOM, NULL},
	{redirect_uri, "redirect_uris", "'com.example.app:/cb'", NULL},

	/* RFC 6749 §3.3: 1*NQCHAR each */
	{scope, "scopes", "https://p.example/auth/calendar.readonly", SAME},
	{scope, "scopes", "repo:status", SAME},
	{scope, "scopes", "user's", SAME},
	{scope, "scopes", "", NULL},
	{scope, "scopes", "read write", NULL},
	{scope, "scopes", "read,write", NULL},
	{scope, "scopes", "read ", NULL},
	{scope, "scopes", "read\n", NULL},
	{scope, "scopes", "\"read\"", NULL},
	{scope, "scopes", "'read'", NULL},
	{scope, "scopes", "re\\ad", NULL},
	{scope, "scopes", "l\xc3\xa4sen", NULL},
	{scope, "scopes", ZERO_WIDTH_SPACE "read", NULL},

	/* the rest of what is registered */
	{definition, "definition", "\"issuer\":\"https://p.example/{tenantid}/v2.0\"", SAME},
	{definition, "definition", "\"issuer\":\"accounts.p.example\"", SAME},
	{definition, "definition", "\"issuer\":\"https://p.example \"", NULL},
	{definition, "definition", "\"issuer\":\"https://p.example\\n\"", NULL},
	{definition, "definition", "\"issuer\":\"\\ufeffhttps://p.example\"", NULL},
	{definition, "definition", "\"issuer\":\"'https://p.example'\"", NULL},
	{definition, "definition", "\"scope_separator\":\" \"", SAME},
	{definition, "definition", "\"name\":\"\\u201cThe\\u201d Example \"", SAME},
	{definition, "definition", "\"authorization_params\":{\"prompt\":\"select_account consent\"}",
	 SAME},
	{definition, "definition", "\"authorization_params\":{\"prompt \":\"consent\"}", NULL},
	{definition, "definition", "\"token_types\":[\"bot\"]", SAME},
	{definition, "definition", "\"token_types\":[\"bot \"]", NULL},
	{definition, "definition", "\"unreturned_scopes\":[\"offline_access \"]", NULL},
	{definition, "definition", "\"scope_parameter\":\"user_scope\\t\"", NULL},
	{definition, "definition", "\"token_path\":\" authed_user\"", NULL},
	{user_template, "app_user_template", "{org_id}:{sub}", SAME},
	{user_template, "app_user_template", "{sub} ", NULL},
	{user_template, "app_user_template", "\"{sub}\"", NULL},
	{user_template, "app_user_template", "{sub}" ZERO_WIDTH_SPACE, NULL},
};

/* With what cannot be seen made visible */
static const char *
shown(const char *value)
{
	char *text = palloc(4 * strlen(value) + 1);
	char *out = text;

	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
		out += *c < 0x20 || *c >= 0x7f || *c == '#' ? sprintf(out, "\\x%02x", *c)
													: sprintf(out, "%c", *c);
	*out = '\0';
	return text;
}

int
main(void)
{
	for (size_t i = 0; i < lengthof(table); i++)
	{
		const char *value = table[i].value;
		const char *as =
			table[i].as != NULL && strcmp(table[i].as, SAME) == 0 ? value : table[i].as;
		const char *got;
		bool right;

		why = NULL;
		got = table[i].reader(value);
		right = got == NULL || as == NULL ? got == as : strcmp(got, as) == 0;

		ok(right, "%s: %s is %s%s%s", table[i].where, shown(value),
		   as == NULL    ? "refused"
		   : as == value ? "accepted"
						 : psprintf("taken as %s", shown(as)),
		   as == NULL && why != NULL ? ": " : "", as == NULL && why != NULL ? why : "");
		if (!right)
			printf("# got %s\n", got != NULL ? shown(got) : "a refusal");
	}
	return tap_done();
}
