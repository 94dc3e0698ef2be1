/* sources: src/oauth/definition.c src/oauth/definition_member.c src/oauth/url_template.c src/oauth/sandbox.c src/oauth/profile.c src/oauth/definition_value.c src/base/json_tree.c src/base/url.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/oauth/request.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/base/text.c */

/*
 * definition_test.c
 *	  What definition.c promises: an unknown name, or a value of the wrong kind, is
 *	  found; what is left out has its default; and what has problems all the same is
 *	  read as if it were left out.
 */
#include "postgres_fe.h"

#include "oauth/definition.h"
#include "oauth/sandbox.h"
#include "oauth/scope.h"
#include "base/settings.h"
#include "crypto/jwt.h"
#include "tap.h"

#define ENDPOINTS                                                                                  \
	"\"authorization_endpoint\":\"https://a.example/auth\",\"token_endpoint\":"                    \
	"\"https://a.example/token\""

bool guc_allow_insecure_loopback = false;

static const JsonValue *
parse(const char *json)
{
	return json_parse_object(json, strlen(json));
}

/* A definition with this member besides those that are required */
static const JsonValue *
definition_with(const char *member)
{
	return parse(psprintf("{" ENDPOINTS ",%s}", member));
}

static void
is_fine(const char *member)
{
	const DefinitionProblem *found = definition_problem(definition_with(member));

	ok(found == NULL, "%s is fine%s%s", member, found ? ": " : "",
	   found && found->detail ? found->detail : "");
}

static void
is_invalid(const char *member)
{
	const JsonValue *definition = definition_with(member);
	const DefinitionProblem *found = definition_problem(definition);

	ok(found != NULL && found->fault == DEFINITION_INVALID_VALUE && definition != NULL &&
		   strcmp(found->name, definition->last->name) == 0 && found->detail[0] != '\0' &&
		   found->detail[strlen(found->detail) - 1] == '.',
	   "%s is not: %s", member, found && found->detail ? found->detail : "(no reason)");
}

static void
options_are(bool fine, const char *options)
{
	ok((options_problem(parse(options)) == NULL) == fine, "%s are %soptions", options,
	   fine ? "" : "no ");
}

static void
test_problems(void)
{
	static const char *const fine[] = {
		"\"issuer\":\"https://a.example/{tenantid}/v2.0\"",
		"\"issuer\":null",
		"\"revocation_endpoint\":\"https://a.example:8443/revoke?x=1\"",
		"\"refresh_endpoint\":\"https://b.example/refresh\"",
		"\"jwks_uri\":\"https://a.example/jwks\"",
		"\"userinfo_endpoint\":\"https://a.example/me\"",
		"\"token_endpoint_auth_method\":\"client_secret_basic\"",
		"\"token_endpoint_auth_method\":\"client_secret_post\"",
		"\"token_endpoint_auth_method\":\"none\"",
		"\"authorization_response_iss_parameter_supported\":true",
		"\"id_token_signed_response_alg\":\"EdDSA\"",
		"\"id_token_signed_response_alg\":\"RS256\"",
		"\"pkce\":\"off\"",
		"\"pkce\":\"S256\"",
		"\"pkce\":\"plain\"",
		"\"default_scopes\":[\"read\"]",
		"\"required_scopes\":[\"offline_access\"]",
		"\"scope_requests\":[]",
		"\"scope_requests\":[\"authorization\",\"exchange\",\"refresh\"]",
		"\"response_type\":\"auth_code\"",
		"\"response_type\":\"code id_token\"",
		"\"authorization_fragment\":\"wechat_redirect\"",
		"\"authorization_fragment\":\"/oauth/authorize?\"",
		"\"authorization_param_names\":{\"client_id\":\"appid\",\"state\":\"customField\"}",
		"\"authorization_param_names\":{\"response_type\":null,\"redirect_uri\":null}",
		"\"authorization_params\":{\"client_id\":\"fixed\"},\"authorization_param_names\":{"
		"\"client_id\":\"appid\"}",
		"\"nonce\":\"optional\",\"authorization_params\":{\"nonce\":\"{random}\"},"
		"\"authorization_param_names\":{\"nonce\":null}",
		"\"token_params\":{\"grant_type\":\"authorized_code\"},\"token_param_names\":{"
		"\"grant_type\":null}",
		"\"token_param_names\":{\"client_id\":\"client_key\",\"client_secret\":\"secret\","
		"\"code\":\"auth_code\",\"grant_type\":null,\"redirect_uri\":null}",
		"\"token_param_names\":{\"client_id\":\"client_secret\",\"client_secret\":\"client_id\"}",
		"\"refresh_param_names\":{\"refresh_token\":\"refreshToken\",\"client_secret\":null}",
		"\"access_token_path\":\"credentials.accessToken\",\"refresh_token_path\":\"r\","
		"\"expires_in_path\":\"data.expires\"",
		"\"expires_at_path\":\"expires_at\",\"expires_at_format\":\"rfc3339\"",
		"\"error_path\":\"code\",\"ok_values\":[\"0\"],\"error_outcomes\":{\"40002\":"
		"\"reconnect_required\",\"a.b-c_d\":\"refused\"}",
		"\"error_outcomes\":{\"no_more\":\"provider_unavailable\"}",
		"\"id_token\":\"optional\"",
		"\"callback_param_names\":{\"code\":\"auth_code\",\"error\":\"reason\"}",
		"\"callback_errors\":{\"user_denied\":\"access_denied\"}",
		"\"refresh_token_reuse\":\"once\"",
		"\"refresh_token_reuse\":600",
		"\"refresh_ends_access_token\":true",
		"\"basic_encoding\":\"raw\"",
		"\"token_method\":\"GET\"",
		"\"long_token_endpoint\":\"https://b.example/l\",\"long_token_params\":{\"grant_type\":"
		"\"ig_exchange_token\"},\"long_token_param_names\":{\"client_id\":null}",
		"\"refresh_method\":\"GET\",\"refresh_style\":\"access_token\"",
		"\"token_method\":\"GET\",\"token_body_format\":\"query\"",
		"\"token_body_format\":\"query\"",
		"\"token_headers\":{}",
		"\"token_headers\":{\"Notion-Version\":\"2022-06-28\",\"User-Agent\":\"web:app:1.0 "
		"(by /u/app)\",\"X-Request-Id\":\"{random}\"}",
		"\"nonce\":\"optional\"",
		"\"scope_separator\":\",\"",
		"\"scope_parameter\":\"user_scope\"",
		"\"authorization_params\":{}",
		"\"authorization_params\":{\"prompt\":\"consent\",\"empty\":\"\"}",
		"\"consent_params\":{\"prompt\":\"consent\"}",
		"\"token_params\":{\"scope\":\"a\",\"audience\":\"b\"}",
		"\"refresh_params\":{\"redirect_uri\":\"https://a.example/cb\"}",
		"\"scope_aliases\":{\"https://a.example/email\":\"email\"}",
		"\"implied_scopes\":{\"repo\":[\"repo:status\",\"public_repo\"],\"user\":[]}",
		"\"unreturned_scopes\":[\"offline_access\"]",
		"\"callback_scope_parameter\":\"scope\"",
		"\"token_types\":[]",
		"\"token_types\":[\"bot\",\"user\"]",
		"\"default_expires_in\":0",
		"\"default_expires_in\":3600.5",
		"\"default_expires_in\":3.6e3",
		"\"refresh_margin\":315360000",
		"\"refresh_token_lifetime\":7776000",
		"\"refresh_token_lifetime\":7776000,\"refresh_token_renewed_by\":\"use\"",
		"\"refresh_token_lifetime\":7776000,\"refresh_token_renewed_by\":\"rotation\"",
		"\"refresh_token_expires_in_path\":\"x_refresh_token_expires_in\"",
		"\"grant_lifetime\":604800",
		"\"callback_hmac\":\"shopify\"",
		"\"scope_path\":\"authed_user.scope\"",
		"\"connection_config_fields\":{\"t\":{\"source\":\"token_response\",\"path\":\"/team/"
		"id\"}}",
		"\"response_scope_separator\":\",\"",
		"\"refresh_style\":\"access_token\",\"grant_lifetime\":604800",
		"\"zero_expires_in\":\"unknown\"",
		"\"connection_config_fields\":{}",
		"\"connection_config_fields\":{\"region\":{}}",
		"\"connection_config_fields\":{\"realmId\":{\"source\":\"callback\",\"pattern\":\"^[0-9]+$"
		"\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"enum\":[\"eu\",\"us\"],"
		"\"title\":\"Region\","
		"\"default\":\"eu\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"pattern\":\"^a\\\\\\\\$\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"token_response\"},\"b\":{\"source\":"
		"\"admin\"}}",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":{}",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":{\"auth\":\"bearer\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"auth\":\"bearer\",\"tokens\":\"access_token\",\"method\":"
		"\"DELETE\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"method\":\"DELETE\",\"auth\":\"client_secret_basic\",\"body_"
		"format\":\"json\",\"token_parameter\":\"access_token\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"auth\":\"none\",\"tokens\":\"refresh_token\"}",
		"\"revocation\":null",
		"\"api_base_url\":\"https://api.example/v1\"",
		"\"connection_config_fields\":{\"tenant\":{\"pattern\":\"^[a-z]+$\"}},\"api_base_url\":"
		"\"https://{tenant}.a.example\"",
		"\"api_headers\":{\"Client-Id\":\"{client_id}\"}",
		"\"api_authorization\":{\"header\":\"Authorization\",\"scheme\":\"OAuth\"}",
		"\"api_authorization\":{\"header\":\"X-Token\"}",
		"\"api_authorization\":{\"query\":\"access_token\"}",
		"\"revocation_ends_grant\":false"};
	static const char *const invalid[] = {
		"\"api_base_url\":\"http://api.example\"",
		"\"api_base_url\":\"https://{tenant}.a.example\"",
		"\"api_headers\":{\"Authorization\":\"x\"}",
		"\"api_headers\":{\"X-Key\":\"{client_secret}\"}",
		"\"api_headers\":{\"X-Key\":\"a {client_secret}\"}",
		"\"api_authorization\":{}",
		"\"api_authorization\":{\"scheme\":\"OAuth\"}",
		"\"api_authorization\":{\"query\":\"a\",\"scheme\":\"OAuth\"}",
		"\"api_authorization\":{\"header\":\"X-T\",\"query\":\"a\"}",
		"\"api_authorization\":{\"header\":\"X: Y\"}",
		"\"api_authorization\":\"OAuth\"",
		"\"api_authorization\":{\"header\":\"X-T\",\"prefix\":\"a\"}",
		"\"revocation\":{}",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":[]",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":true",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":{\"method\":\"GET\"}",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":{\"auth\":\"Bearer\"}",
		"\"revocation_endpoint\":\"https://a.example/revoke\",\"revocation\":{\"url\":\"https://"
		"a.example\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"auth\":\"bearer\",\"token_parameter\":\"token\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"auth\":\"bearer\",\"body_format\":\"json\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"auth\":\"bearer\",\"tokens\":\"both\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"token_parameter\":\"client_secret\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"token_parameter\":\"\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"r\",\"token_param_names\":{\"client_id\":\"key\"},\"revocation\":{\"token_parameter\":"
		"\"key\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"r\",\"token_endpoint_auth_method\":\"none\",\"revocation\":{\"auth\":\"client_secret_"
		"post\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"body_format\":\"query\"}",
		"\"revocation_endpoint\":\"https://a.example/"
		"revoke\",\"revocation\":{\"tokens\":null,\"method\":1}",
		"\"issuer\":\"\"",
		"\"issuer\":1",
		"\"issuer\":[\"https://a.example\"]",
		"\"revocation_endpoint\":\"http://a.example/revoke\"",
		"\"revocation_endpoint\":\"http://127.0.0.1/revoke\"",
		"\"revocation_endpoint\":\"https://user@a.example/\"",
		"\"revocation_endpoint\":\"/revoke\"",
		"\"default_scopes\":\"read\"",
		"\"required_scopes\":[\"read write\"]",
		"\"scope_requests\":[\"token\"]",
		"\"scope_requests\":\"refresh\"",
		"\"scope_requests\":[null]",
		"\"scope_parameter\":\"appid\",\"authorization_param_names\":{\"client_id\":\"appid\"}",
		"\"response_type\":\"token\"",
		"\"response_type\":\"code token\"",
		"\"response_type\":\"code \"",
		"\"response_type\":\"code&state=x\"",
		"\"authorization_fragment\":\"#a\"",
		"\"authorization_fragment\":\"a b\"",
		"\"authorization_fragment\":\"%41\"",
		"\"authorization_fragment\":\"/a?state=b\"",
		"\"authorization_fragment\":\"/a??\"",
		"\"authorization_fragment\":\"\"",
		"\"authorization_param_names\":[]",
		"\"authorization_param_names\":{\"state\":null}",
		"\"authorization_param_names\":{\"code_challenge\":null}",
		"\"authorization_param_names\":{\"nonce\":null}",
		"\"authorization_param_names\":{\"client_id\":\"\"}",
		"\"authorization_param_names\":{\"client_id\":7}",
		"\"authorization_param_names\":{\"client_id\":\"state\"}",
		"\"authorization_param_names\":{\"client_id\":\"scope\"}",
		"\"authorization_param_names\":{\"client_id\":\"request_uri\"}",
		"\"authorization_param_names\":{\"scope\":\"perms\"}",
		"\"authorization_param_names\":{\"code\":\"c\"}",
		("\"authorization_param_names\":{\"client_id\":\"appid\"},\"authorization_params\":{"
		 "\"appid\":\"mine\"}"),
		"\"token_param_names\":{\"code\":null}",
		"\"token_param_names\":{\"code_verifier\":null}",
		"\"token_param_names\":{\"refresh_token\":\"r\"}",
		"\"token_param_names\":{\"client_secret\":\"code\"}",
		"\"token_param_names\":{\"client_secret\":\"secret\"},\"token_params\":{\"secret\":\"x\"}",
		"\"scope_requests\":[\"exchange\"],\"token_params\":{\"scope\":\"x\"}",
		"\"refresh_param_names\":{\"refresh_token\":null}",
		"\"refresh_param_names\":{\"code\":\"c\"}",
		"\"refresh_param_names\":{\"client_id\":\"refresh_token\"}",
		"\"scope_requests\":[\"refresh\"],\"refresh_params\":{\"scope\":\"x\"}",
		"\"access_token_path\":\"\"",
		"\"access_token_path\":\".a\"",
		"\"access_token_path\":\"a..b\"",
		"\"access_token_path\":\"a.\"",
		"\"access_token_path\":[\"a\"]",
		"\"access_token_path\":\"a\",\"refresh_token_path\":\"a\"",
		"\"expires_at_path\":\"t\"",
		"\"expires_at_format\":\"epoch\"",
		"\"expires_at_path\":\"t\",\"expires_at_format\":\"iso\"",
		"\"ok_values\":[\"0\"]",
		"\"error_path\":\"code\",\"ok_values\":[0]",
		"\"error_outcomes\":{\"40002\":\"reconnect\"}",
		"\"error_outcomes\":{\"a b\":\"refused\"}",
		"\"error_outcomes\":{\"\":\"refused\"}",
		"\"error_outcomes\":[\"refused\"]",
		"\"id_token\":\"never\"",
		"\"callback_param_names\":{\"state\":\"customField\"}",
		"\"callback_param_names\":{\"code\":null}",
		"\"callback_errors\":{\"user_denied\":\"access denied\"}",
		"\"callback_errors\":{\"user_denied\":null}",
		"\"callback_errors\":{\"invalid=true&reason\":\"access_denied\"}",
		"\"refresh_token_reuse\":\"twice\"",
		"\"refresh_token_reuse\":-1",
		"\"refresh_token_reuse\":true",
		"\"refresh_ends_access_token\":\"yes\"",
		"\"basic_encoding\":\"base64\"",
		"\"token_method\":\"PUT\"",
		"\"refresh_method\":\"get\"",
		"\"long_token_endpoint\":\"http://b.example/l\"",
		"\"jwks_uri\":\"https://a.example/jwks\",\"long_token_endpoint\":\"https://b.example/l\"",
		"\"long_token_params\":{\"client_secret\":\"x\"}",
		"\"long_token_param_names\":{\"access_token\":null}",
		"\"refresh_style\":\"client_only\"",
		"\"token_body_format\":\"json\",\"token_method\":\"GET\"",
		"\"token_headers\":[]",
		"\"token_headers\":{\"Authorization\":\"Bearer x\"}",
		"\"token_headers\":{\"HOST\":\"evil.example\"}",
		"\"token_headers\":{\"Content-Length\":\"0\"}",
		"\"token_headers\":{\"content-type\":\"text/plain\"}",
		"\"token_headers\":{\"Transfer-Encoding\":\"chunked\"}",
		"\"token_headers\":{\"Connection\":\"close\"}",
		"\"token_headers\":{\"Cookie\":\"a=b\"}",
		"\"token_headers\":{\"Proxy-Authorization\":\"Basic x\"}",
		"\"token_headers\":{\"Expect\":\"100-continue\"}",
		"\"token_headers\":{\"\":\"a\"}",
		"\"token_headers\":{\"X Y\":\"a\"}",
		"\"token_headers\":{\"X:Y\":\"a\"}",
		"\"token_headers\":{\"X-A\":\"\"}",
		"\"token_headers\":{\"X-A\":\" a\"}",
		"\"token_headers\":{\"X-A\":null}",
		"\"token_headers\":{\"X-A\":\"a\\r\\nHost: evil.example\"}",
		"\"token_headers\":{\"X-A\\r\\nHost\":\"a\"}",
		"\"token_headers\":{\"X-A\":\"a\",\"x-a\":\"b\"}",
		"\"refresh_endpoint\":\"http://a.example/refresh\"",
		"\"refresh_endpoint\":\"\"",
		"\"revocation_endpoint\":\"\"",
		"\"revocation_endpoint\":true",
		"\"jwks_uri\":\"https://a.example/#keys\"",
		"\"jwks_uri\":{}",
		"\"token_endpoint_auth_method\":\"client_secret\"",
		"\"token_endpoint_auth_method\":\"client_secret_basic|none\"",
		"\"token_endpoint_auth_method\":\"\"",
		"\"id_token_signed_response_alg\":\"none\"",
		"\"id_token_signed_response_alg\":\"HS256\"",
		"\"scope_parameter\":\"\"",
		"\"scope_parameter\":\"state\"",
		"\"scope_parameter\":\"request_uri\"",
		"\"pkce\":\"S256|off\"",
		"\"nonce\":\"off\"",
		"\"nonce\":true",
		"\"pkce\":false",
		"\"authorization_response_iss_parameter_supported\":\"true\"",
		"\"authorization_response_iss_parameter_supported\":1",
		"\"authorization_params\":[]",
		"\"authorization_params\":{\"a\":1}",
		"\"authorization_params\":{\"a\":null}",
		"\"authorization_params\":{\"a\":{\"b\":\"c\"}}",
		"\"authorization_params\":{\"state\":\"a\"}",
		"\"authorization_params\":{\"\":\"a\"}",
		"\"authorization_params\":{\"scope\":\"a\"}",
		"\"consent_params\":{\"client_id\":\"a\"}",
		"\"consent_params\":{\"scope\":\"a\"}",
		"\"token_params\":{\"client_id\":\"a\"}",
		"\"token_params\":{\"code_verifier\":\"a\"}",
		"\"refresh_params\":{\"scope\":\"a\"}",
		"\"refresh_params\":{\"grant_type\":\"a\"}",
		"\"refresh_params\":{\"code\":\"a\"}",
		"\"scope_aliases\":{\"a b\":\"c\"}",
		"\"scope_aliases\":{\"a\":[\"b\"]}",
		"\"scope_aliases\":[\"a\"]",
		"\"implied_scopes\":{\"a\":\"b\"}",
		"\"implied_scopes\":{\"a\":[\"b c\"]}",
		"\"implied_scopes\":{\"\":[\"b\"]}",
		"\"unreturned_scopes\":{\"a\":\"b\"}",
		"\"unreturned_scopes\":[\"\"]",
		"\"unreturned_scopes\":[\"a\\\"b\"]",
		"\"callback_scope_parameter\":\"\"",
		"\"token_types\":{}",
		"\"token_types\":\"bot\"",
		"\"token_types\":[\"bot\",1]",
		"\"token_types\":[[\"bot\"]]",
		"\"default_expires_in\":-1",
		"\"refresh_token_lifetime\":0",
		"\"refresh_token_lifetime\":\"60 days\"",
		"\"grant_lifetime\":0.5",
		"\"callback_hmac\":true",
		"\"scope_path\":\".scope\"",
		"\"connection_config_fields\":{\"t\":{\"source\":\"token_response\",\"path\":\"team.id\"}}",
		"\"connection_config_fields\":{\"t\":{\"source\":\"admin\",\"path\":\"/team/id\"}}",
		"\"response_scope_separator\":[\",\"]",
		"\"callback_hmac\":\"other\"",
		"\"token_endpoint_auth_method\":\"none\",\"callback_hmac\":\"shopify\"",
		"\"callback_param_names\":{\"code\":\"c\"},\"callback_hmac\":\"shopify\"",
		"\"refresh_token_renewed_by\":\"use\"",
		"\"refresh_token_lifetime\":60,\"refresh_token_renewed_by\":\"nothing\"",
		"\"refresh_token_expires_in_path\":\"a..b\"",
		"\"refresh_style\":\"access_token\",\"refresh_token_lifetime\":60",
		"\"refresh_style\":\"access_token\",\"refresh_token_expires_in_path\":\"a\"",
		"\"default_expires_in\":315360001",
		"\"default_expires_in\":1e300",
		"\"default_expires_in\":\"3600\"",
		"\"default_expires_in\":[3600]",
		"\"zero_expires_in\":0",
		"\"connection_config_fields\":[]",
		"\"connection_config_fields\":{\"a\":1}",
		"\"connection_config_fields\":{\"a\":null}",
		"\"connection_config_fields\":{\"a\":{\"b\":1}}",
		"\"connection_config_fields\":{\"\":{}}",
		"\"connection_config_fields\":{\"1a\":{}}",
		"\"connection_config_fields\":{\"a.b\":{}}",
		"\"connection_config_fields\":{\"a{b}\":{}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"callback\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"anybody\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"enum\":[]}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"pattern\":\"a\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"pattern\":\"^a\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"pattern\":\"a$\"}}",
		"\"connection_config_fields\":{\"a\":{\"source\":\"user\",\"pattern\":\"^\"}}",
		"\"connection_config_fields\":{\"a\":{\"pattern\":\"^a\\\\$\"}}"};

	for (int i = 0; i < (int) lengthof(fine); i++)
		is_fine(fine[i]);
	for (int i = 0; i < (int) lengthof(invalid); i++)
		is_invalid(invalid[i]);
}

static void
test_shape(void)
{
	const DefinitionProblem *found = definition_problem(definition_with("\"nonsense\":1"));

	ok(found != NULL && found->fault == DEFINITION_UNKNOWN_NAME &&
		   strcmp(found->name, "nonsense") == 0 && strncmp(found->detail, "issuer, ", 8) == 0 &&
		   strstr(found->detail, ", revocation_ends_grant") != NULL,
	   "an unknown name is named, with those that are known");
	found = definition_problem(definition_with("\"Issuer\":\"https://a.example\""));
	ok(found != NULL && found->fault == DEFINITION_UNKNOWN_NAME, "case counts");
	found = definition_problem(parse("{\"token_endpoint\":\"https://a.example/token\"}"));
	ok(found != NULL && found->fault == DEFINITION_LACKS_ENDPOINT,
	   "without an authorization endpoint it is none");
	found = definition_problem(parse("{\"authorization_endpoint\":\"https://a.example/auth\"}"));
	ok(found != NULL && found->fault == DEFINITION_LACKS_ENDPOINT, "nor without a token endpoint");
	found = definition_problem(
		parse("{\"authorization_endpoint\":\"https://a.example/auth\",\"token_endpoint\":null}"));
	ok(found != NULL && found->fault == DEFINITION_LACKS_ENDPOINT, "nor with null for it");
	found = definition_problem(NULL);
	ok(found != NULL && found->fault == DEFINITION_NOT_AN_OBJECT, "what is no object is none");

	guc_allow_insecure_loopback = true;
	is_fine("\"revocation_endpoint\":\"http://127.0.0.1:8080/revoke\"");
	is_invalid("\"revocation_endpoint\":\"http://a.example/revoke\"");
	guc_allow_insecure_loopback = false;
}

static void
test_options(void)
{
	options_are(true, "{\"redirect_uri_names\":{\"https://a.example/cb\":\"A-b_c.d~1\"}}");
	options_are(true, "{\"redirect_uri_names\":{}}");
	options_are(false, "{\"redirect_uri_names\":{\"https://a.example/cb\":\"https://b.example\"}}");
	options_are(false, "{\"redirect_uri_names\":{\"https://a.example/cb\":\"\"}}");
	options_are(false, "{\"redirect_uri_names\":{\"https://a.example/cb\":\"a b\"}}");
	options_are(false, "{\"redirect_uri_names\":{\"https://a.example/cb\":5}}");
	options_are(false, "{\"redirect_uri_names\":\"A-b\"}");
	options_are(true, "{}");
	options_are(true, "{\"return_to\":[\"https://b.example/done\",\"com.example.app:/done\"]}");
	options_are(true, "{\"pkce\":\"off\",\"resource\":\"https://api.example/\"}");
	options_are(true, "{\"authorization_params\":{\"prompt\":\"consent\"}}");
	options_are(true, "{\"pkce\":null}");
	options_are(false, "{\"return_to\":\"https://b.example/done\"}");
	options_are(false, "{\"return_to\":[\"http://b.example/done\"]}");
	options_are(false, "{\"return_to\":[\"javascript:alert(1)\"]}");
	options_are(false, "{\"return_to\":[\"//b.example\"]}");
	options_are(false, "{\"resource\":\"http://api.example/\"}");
	options_are(false, "{\"issuer\":\"https://a.example\"}");
	options_are(false, "{\"token_endpoint\":\"https://a.example/token\"}");
	options_are(false, "{\"pkce\":\"plain\"}");
}

static void
test_defaults(void)
{
	OAuthClient unusual = {0};
	OAuthClient client = {0};

	definition_read(parse("{" ENDPOINTS "}"), &client);
	ok(strcmp(client.authorization_endpoint, "https://a.example/auth") == 0 &&
		   strcmp(client.token_endpoint, "https://a.example/token") == 0 && client.issuer == NULL &&
		   client.revocation_endpoint == NULL && client.jwks_uri == NULL,
	   "endpoints are read");
	ok(client.auth_method == CLIENT_SECRET_BASIC && client.token_body_format == TOKEN_BODY_FORM &&
		   client.pkce && !client.iss_required && !client.nonce_optional &&
		   strcmp(client.scope_parameter, "scope") == 0 && strcmp(client.scope_separator, " ") == 0,
	   "what is left out of requests has its default");
	ok(client.pkce == PKCE_S256 && client.scope_in_authorization && !client.scope_in_exchange &&
		   !client.scope_in_refresh && !client.token_by_get && !client.basic_raw &&
		   client.response_type == NULL && client.authorization_fragment == NULL &&
		   client.n_token_headers == 0 && client.n_token_param_names == 0,
	   "so has what makes a request unusual");
	ok(client.default_expires_in == -1 && client.zero_expires_in == ZERO_IS_EXPIRED &&
		   client.token_path == NULL && client.n_token_types == 0 &&
		   client.n_token_response_values == 0 && !client.form_token_response,
	   "and of answers");
	ok(client.refresh_token_lifetime == 0 && client.refresh_token_expires_in_path == NULL &&
		   !client.refresh_token_renewed_by_use && client.grant_lifetime == 0,
	   "how long a grant lives is unknown");
	definition_read(parse("{" ENDPOINTS
						  ",\"refresh_token_lifetime\":60.5,\"refresh_token_renewed_by\":\"use\","
						  "\"refresh_token_expires_in_path\":\"a.b\",\"grant_lifetime\":600}"),
					&client);
	definition_read_fields(
		parse("{\"connection_config_fields\":{\"t\":{\"source\":\"token_response\",\"path\":"
			  "\"/te~1am/i~0d\"},\"u\":{\"source\":\"token_response\"}}}"),
		NULL, &unusual);
	ok(unusual.n_token_response_values == 2 &&
		   strcmp(unusual.token_response_values[0].value, "te/am.i~d") == 0 &&
		   strcmp(unusual.token_response_values[1].value, "u") == 0,
	   "a field is where its path says in an answer, or is called so");
	ok(client.refresh_token_lifetime == 60 && client.refresh_token_renewed_by_use &&
		   strcmp(client.refresh_token_expires_in_path, "a.b") == 0 && client.grant_lifetime == 600,
	   "or as it says");
	ok(client.n_authorization_params == 0 && client.n_token_params == 0 &&
		   client.n_refresh_params == 0,
	   "and there are no parameters");
	ok((client.id_token_algorithms & JWT_RS256) && (client.id_token_algorithms & JWT_EDDSA) &&
		   !(client.id_token_algorithms & JWT_HS256),
	   "ID tokens are signed by key pairs");
}

static void
test_members(void)
{
	OAuthClient client = {0};
	OAuthClient unusual = {0};

	definition_read(
		definition_with(
			"\"issuer\":\"https://a.example\",\"token_endpoint_auth_method\":\"none\","
			"\"token_body_format\":\"json\",\"token_response_format\":\"form\",\"pkce\":\"off\","
			"\"nonce\":\"optional\","
			"\"authorization_response_iss_parameter_supported\":true,\"scope_parameter\":"
			"\"user_scope\",\"scope_separator\":\",\",\"authorization_params\":{\"a\":\"1\",\"b\":"
			"\"\"},\"token_params\":{\"c\":\"2\"},\"refresh_params\":{\"d\":\"3\"},"
			"\"id_token_signed_response_alg\":\"ES256\",\"default_expires_in\":7200.9,"
			"\"zero_expires_in\":\"unknown\",\"token_path\":\"authed_user\",\"token_types\":"
			"[\"bot\"],\"connection_config_fields\":{\"instance_url\":{\"source\":"
			"\"token_response\"},\"a\":{},\"id\":{\"source\":\"token_response\"}},\"jwks_uri\":"
			"\"https://a.example/jwks\",\"revocation_endpoint\":\"https://a.example/revoke\""),
		&client);
	ok(strcmp(client.issuer, "https://a.example") == 0 &&
		   strcmp(client.revocation_endpoint, "https://a.example/revoke") == 0 &&
		   strcmp(client.jwks_uri, "https://a.example/jwks") == 0,
	   "optional endpoints are read");
	ok(client.auth_method == CLIENT_AUTH_NONE && client.token_body_format == TOKEN_BODY_JSON &&
		   !client.pkce && client.iss_required && client.nonce_optional &&
		   strcmp(client.scope_parameter, "user_scope") == 0 &&
		   strcmp(client.scope_separator, ",") == 0,
	   "what requests are like is read");
	definition_read(definition_with("\"pkce\":\"plain\",\"scope_requests\":[\"refresh\"],"
									"\"token_method\":\"GET\",\"basic_encoding\":\"raw\","
									"\"token_headers\":{\"X-A\":\"1\"},\"refresh_endpoint\":"
									"\"https://b.example/r\",\"refresh_param_names\":{"
									"\"client_id\":null,\"refresh_token\":\"r\",\"grant_type\":7}"),
					&unusual);
	ok(unusual.pkce == PKCE_PLAIN && !unusual.scope_in_authorization && unusual.scope_in_refresh &&
		   !unusual.scope_in_exchange && unusual.token_by_get && unusual.basic_raw &&
		   unusual.n_token_headers == 1 && strcmp(unusual.token_headers[0].value, "1") == 0 &&
		   strcmp(unusual.refresh_endpoint, "https://b.example/r") == 0,
	   "as is what makes them unusual");
	ok(unusual.n_refresh_param_names == 2 && unusual.refresh_param_names[0].value == NULL &&
		   strcmp(unusual.refresh_param_names[1].value, "r") == 0,
	   "and what parameters are called, null too");
	ok(client.n_authorization_params == 2 &&
		   strcmp(client.authorization_params[0].name, "a") == 0 &&
		   strcmp(client.authorization_params[0].value, "1") == 0 &&
		   strcmp(client.authorization_params[1].value, "") == 0 && client.n_token_params == 1 &&
		   strcmp(client.token_params[0].value, "2") == 0 && client.n_refresh_params == 1 &&
		   strcmp(client.refresh_params[0].name, "d") == 0,
	   "parameters are read, each where it belongs");
	ok(client.id_token_algorithms == JWT_ES256 && client.default_expires_in == 7200 &&
		   client.zero_expires_in == ZERO_IS_UNKNOWN &&
		   strcmp(client.token_path, "authed_user") == 0 && client.n_token_types == 1 &&
		   strcmp(client.token_types[0], "bot") == 0 && client.n_token_response_values == 2 &&
		   strcmp(client.token_response_values[1].name, "id") == 0 && client.form_token_response,
	   "what answers are like is read");
}

/* What somebody holds, in order and separated by spaces */
static void
holds(const OAuthClient *client, const char *returned, const char *requested, const char *expected)
{
	char *texts[2] = {pstrdup(returned), pstrdup(requested)};
	char *scopes[2][16];
	int counts[2] = {0, 0};
	char **held;
	int n;
	char found[256] = "";

	for (int i = 0; i < 2; i++)
		for (char *scope = strtok(texts[i], " "); scope != NULL; scope = strtok(NULL, " "))
			scopes[i][counts[i]++] = scope;
	held = scopes_held(client, scopes[0], counts[0], scopes[1], counts[1], &n);
	for (int i = 0; i < n; i++)
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i > 0 ? " " : "",
				 held[i]);
	ok(strcmp(found, expected) == 0, "\"%s\" of \"%s\" is \"%s\" (%s)", returned, requested,
	   expected, found);
	held = scopes_held(client, held, n, scopes[1], counts[1], &n);
	ok(n == 0 ||
		   strcmp(held[n - 1], strrchr(expected, ' ') ? strrchr(expected, ' ') + 1 : expected) == 0,
	   "and stays so");
}

static void
test_scopes(void)
{
	OAuthClient client = {0};

	definition_read(definition_with("\"pkce\":\"S256\""), &client);
	holds(&client, "a b a", "a c", "a b");
	holds(&client, "", "a", "");
	definition_read(definition_with("\"scope_aliases\":{\"long/a\":\"a\"},\"implied_scopes\":{"
									"\"a\":[\"b\"],\"b\":[\"c\",\"a\"],\"x\":[]},"
									"\"unreturned_scopes\":[\"off\",\"never\"]"),
					&client);
	holds(&client, "long/a", "a", "long/a a b c");
	holds(&client, "c", "a b c", "c");
	holds(&client, "b", "off b", "b off c a");
	holds(&client, "", "off", "off");
	holds(&client, "off x", "off x", "off x");
	definition_read(
		parse("{\"implied_scopes\":{\"a\":\"b\",\"c\":[1,\"d\"]},\"scope_aliases\":[]}"), &client);
	holds(&client, "a c", "", "a c d");
}

/* A provider's test system is another server: nothing of the provider's own is left there. */
static void
test_sandbox(void)
{
	const JsonValue *own = parse("{" ENDPOINTS ",\"revocation_endpoint\":\"https://a.example/r\","
								 "\"issuer\":\"https://a.example\",\"pkce\":\"off\","
								 "\"sandbox\":{\"token_endpoint\":\"https://s.example/token\"}}");
	const JsonValue *same = parse("{" ENDPOINTS ",\"revocation_endpoint\":\"https://a.example/r\","
								  "\"sandbox\":{\"authorization_endpoint\":"
								  "\"https://s.example/auth\"}}");
	OAuthClient client = {0};

	ok(definition_problem(own) == NULL && definition_problem(same) == NULL, "a sandbox is taken");
	definition_read(sandbox_definition(own), &client);
	ok(strcmp(client.token_endpoint, "https://s.example/token") == 0 &&
		   strcmp(client.authorization_endpoint, "https://a.example/auth") == 0,
	   "... and its endpoints are in place of the provider's own");
	ok(client.revocation_endpoint == NULL && client.issuer == NULL,
	   "what is of another server is not there");
	ok(!client.pkce, "what is no endpoint stays");
	definition_read(sandbox_definition(same), &client);
	ok(client.revocation_endpoint != NULL, "with the same token endpoint the rest stays too");
	ok(sandbox_definition(parse("{" ENDPOINTS "}")) == NULL, "where there is none, there is none");
}

static void
test_edited(void)
{
	OAuthClient client = {0};

	definition_read(parse("{\"token_endpoint\":[\"https://a.example/token\"],\"pkce\":1,"
						  "\"token_params\":[1],\"token_types\":{\"a\":\"b\"},\"token_path\":{},"
						  "\"default_expires_in\":-5,\"authorization_params\":{\"a\":1,\"b\":"
						  "\"2\"}}"),
					&client);
	ok(client.token_endpoint == NULL && client.authorization_endpoint == NULL && client.pkce &&
		   client.n_token_params == 0 && client.n_token_types == 0 && client.token_path == NULL &&
		   client.default_expires_in == -1,
	   "members of the wrong kind count as left out");
	ok(client.n_authorization_params == 1 && strcmp(client.authorization_params[0].name, "b") == 0,
	   "as do parameters of the wrong kind");
	memset(&client, 0xff, sizeof(client));
	definition_read(NULL, &client);
	ok(client.token_endpoint == NULL && client.n_token_types == 0 && client.pkce,
	   "and of what is no object, everything");
	ok(definition_text(NULL, "name") == NULL && definition_bool(NULL, "name", true) &&
		   definition_seconds(NULL, "name", 7) == 7,
	   "nothing has no members");
}

int
main(void)
{
	test_problems();
	test_shape();
	test_options();
	test_defaults();
	test_members();
	test_scopes();
	test_sandbox();
	test_edited();
	return tap_done();
}
