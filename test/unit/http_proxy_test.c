/* sources: src/http/http.c src/http/transfer.c src/http/connection.c src/http/lookup.c src/http/network.c src/http/rules.c src/http/memory.c src/http/environment.c */
/*
 * http_proxy_test.c
 *	  Through a proxy: that it learns a host and a port and nothing else, is not asked for
 *	  addresses that the rules refuse, and is never taken for the provider, whatever it
 *	  answers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <netdb.h>
#include <sys/resource.h>

#include "http_client.h"

#define SHORT_CONNECT_TIMEOUT 500

static int lookups = 0;
static FaultServer provider; /* by https; plain is the proxy */

/*
 * In place of the C library's, for libcurl as well.  Other names under .test cannot be
 * looked up here, as behind a proxy.
 */
__attribute__((visibility("default"))) int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	static const struct
	{
		const char *name;
		const char *first;
		const char *second;
	} names[] = {{"outside.proxied.test", "1.1.1.1", NULL},
				 {"inside.proxied.test", "10.0.0.1", NULL},
				 {"local6.proxied.test", "fd00::1", NULL},
				 {"metadata.proxied.test", "169.254.169.254", NULL},
				 {"loopback.proxied.test", "127.0.0.1", NULL},
				 {"mixed.proxied.test", "1.1.1.1", "10.0.0.1"},
				 {"dual.proxied.test", "fd00::1", "1.1.1.1"},
				 {"proxy.test", "127.0.0.1", NULL}};
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo open_hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *last;
	size_t i;
	int code;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	__atomic_add_fetch(&lookups, 1, __ATOMIC_SEQ_CST);
	for (i = 0; node != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(node, names[i].name) == 0)
		{
			code = real(names[i].first, service, &open_hints, result);
			if (code != 0 || names[i].second == NULL)
				return code;
			for (last = *result; last->ai_next != NULL; last = last->ai_next)
				;
			return real(names[i].second, service, &open_hints, &last->ai_next);
		}
	if (node != NULL && strstr(node, "slow.proxied.test") != NULL)
		usleep(2500 * 1000);
	if (node != NULL && strstr(node, ".test") != NULL)
		return EAI_NONAME;
	return real(node, service, hints, result);
}

static HttpOutcome ask(HttpResponse *response, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What a request by this URL with all that may be secret comes to */
static HttpOutcome
ask(HttpResponse *response, const char *format, ...)
{
	char url[512];
	HttpRequest request = {.url = url,
						   .content_type = "application/x-www-form-urlencoded",
						   .body = "code=secret-code",
						   .body_len = strlen("code=secret-code"),
						   .authorization = "Basic c2VjcmV0"};
	va_list args;
	int owner;

	va_start(args, format);
	vsnprintf(url, sizeof(url), format, args);
	va_end(args);
	http_start(&request, &owner);
	if (next_completed(response) != &owner)
	{
		printf("Bail out! %s never completed\n", url);
		exit(2);
	}
	return response->outcome;
}

static HttpOutcome
outcome_at(const char *host)
{
	HttpResponse response;
	HttpOutcome result = ask(&response, "https://%s:%d/token", host, provider.port);

	printf("# %s: %s\n", host, response.error);
	http_response_free(&response);
	return result;
}

/* Everything that was asked of the proxy, or of the provider */
static char *
asked_of_proxy(void)
{
	return fault_server_control(&plain, "/__ctl", NULL);
}

static char *
asked_of_provider(void)
{
	char command[512];
	size_t size = 1 << 20;
	char *text = calloc(1, size);
	FILE *curl;

	snprintf(command, sizeof(command),
			 "curl -sS --noproxy '*' --cacert %s https://127.0.0.1:%d/__ctl", certificate("ca"),
			 provider.port);
	curl = popen(command, "r");
	if (curl == NULL || fread(text, 1, size - 1, curl) == 0 || pclose(curl) != 0)
		exit(2);
	return text;
}

static void
order_provider(const char *json)
{
	char command[1024];

	snprintf(command, sizeof(command),
			 "curl -sS --noproxy '*' --cacert %s --data-binary '%s' https://127.0.0.1:%d/__ctl "
			 ">/dev/null",
			 certificate("ca"), json, provider.port);
	if (system(command) != 0)
		exit(2);
}

static void
reset_provider(const char *rules)
{
	order_provider("{\"reset\":true}");
	order_provider(rules);
}

/* That many requests have come to the provider since it was reset. */
static bool
provider_saw(int requests)
{
	char *records = asked_of_provider();
	int seen = fault_server_number(records, "counts", "/token");

	free(records);
	return seen == requests;
}

static bool
proxy_saw_nothing(void)
{
	char *records = asked_of_proxy();
	bool nothing = strstr(records, "\"requests\":[]") != NULL;

	free(records);
	return nothing;
}

static const char *
url_of(const FaultServer *server, const char *scheme, const char *before)
{
	static char urls[4][128];
	static int next = 0;
	char *url = urls[next++ % 4];

	snprintf(url, sizeof(urls[0]), "%s://%s:%d", scheme, before, server->port);
	return url;
}

static void
tunnel_rules(void)
{
	fault_server_rules(&plain, "[{\"path\":\"*\",\"tunnelTo\":\"127.0.0.1:%d\"}]", provider.port);
	reset_provider("[{\"path\":\"/token\",\"echo\":true}]");
}

static void
test_tunnel(void)
{
	char connect[128];
	HttpResponse response;
	char *records;
	int before;

	proxy = url_of(&plain, "http", "127.0.0.1");
	policy(false, "", certificate("ca"), 5000);
	tunnel_rules();
	ok(ask(&response, "https://outside.proxied.test:%d/token", provider.port) == HTTP_ANSWERED &&
		   response.status == 200 && strcmp(response.body, "code=secret-code") == 0,
	   "a request goes through the proxy, which may be on a loopback address itself");
	http_response_free(&response);
	records = asked_of_proxy();
	snprintf(connect, sizeof(connect), "outside.proxied.test:%d", provider.port);
	ok(fault_server_number(records, "counts", connect) == 1 &&
		   strstr(records, "\"method\":\"CONNECT\"") && connections_of(records) == 1,
	   "which is asked for a tunnel, by the host's name");
	ok(!strstr(records, "c2VjcmV0") && !strstr(records, "secret-code") &&
		   !strstr(records, "/token") && !strstr(records, "authorization"),
	   "and learns nothing else");
	free(records);
	records = asked_of_provider();
	ok(strstr(records, "\"authorization\":\"Basic c2VjcmV0\"") && !strstr(records, "proxy"),
	   "the provider does not learn of the proxy");
	free(records);

	ok(outcome_at("unknown.proxied.test") == HTTP_ANSWERED,
	   "a name that cannot be looked up here is left to the proxy");
	before = lookups;
	ok(outcome_at("unknown.proxied.test") == HTTP_ANSWERED &&
		   outcome_at("Unknown.Proxied.test") == HTTP_ANSWERED && lookups == before,
	   "and is not looked up again at once");
	ok(outcome_at("slow.proxied.test") == HTTP_ANSWERED,
	   "so is one that takes too long to look up");
	before = lookups;
	ok(outcome_at("slow.proxied.test") == HTTP_ANSWERED && lookups == before, "once");

	proxy = url_of(&plain, "http", "us%65r:p%3ass%2Fw%20%25@proxy.test");
	policy(false, "", certificate("ca"), 5000);
	tunnel_rules();
	ok(outcome_at("outside.proxied.test") == HTTP_ANSWERED,
	   "with a user, a password, and a proxy by its name");
	records = asked_of_proxy();
	/* user:p:ss/w % */
	ok(strstr(records, "\"proxy-authorization\":\"Basic dXNlcjpwOnNzL3cgJQ==\"") &&
		   !strstr(records, "c2VjcmV0"),
	   "which the proxy is told, percent signs decoded");
	free(records);
	records = asked_of_provider();
	ok(!strstr(records, "dXNlcjpw") && !strstr(records, "roxy-"), "and the provider is not");
	free(records);
}

/* Whatever it answers, the provider has not seen the request, and it is asked once. */
static void
test_bad_proxy(void)
{
	static const struct
	{
		const char *rule;
		const char *says;
		const char *what;
	} faults[] = {
		{"\"status\":407,\"headers\":{\"proxy-authenticate\":[\"Basic realm=x\",\"Digest realm=x, "
		 "nonce=y\",\"NTLM\",\"Negotiate\"],\"retry-after\":\"9\"}",
		 "answered 407", "407 with every challenge"},
		{"\"status\":407", "answered 407", "407 with none"},
		{"\"status\":407,\"endlessBody\":true", NULL, "407 and a body without end"},
		{"\"status\":407,\"headers\":{\"content-length\":\"99999999999\"},\"body\":\"x\"", NULL,
		 "a length that does not come"},
		{"\"status\":403,\"body\":\"{\\\"access_token\\\":\\\"t\\\"}\"", "answered 403", "403"},
		{"\"status\":502", "answered 502", "502"},
		{"\"status\":503,\"headers\":{\"retry-after\":\"9\"}", "answered 503", "503"},
		{"\"status\":302,\"headers\":{\"location\":\"https://outside.proxied.test/\"}",
		 "answered 302", "a redirect"},
		{"\"raw\":\"HTTP/1.1 200 OK\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\ncontent-length: "
		 "24\\r\\n\\r\\n{\\\"access_token\\\":\\\"forged\\\"}\"",
		 NULL, "an answer of its own in the tunnel"},
		{"\"raw\":\"{\\\"access_token\\\":\\\"t\\\"}\\r\\n\\r\\n\"", NULL, "no HTTP"},
		{"\"raw\":\"\\u0000\\u0001\\u0002\"", "gave no answer", "bytes"},
		{"\"raw\":\"\"", "gave no answer", "nothing, in order"},
		{"\"raw\":\"HTTP/1.1 200 OK\\r\\nx: y\"", "gave no answer", "half of its headers"},
		{"\"drop\":true", "gave no answer", "nothing"},
		{"\"reset\":true", "gave no answer", "a reset"},
		{"\"hang\":true", "did not answer in time", "silence"},
		{"\"trickleMs\":100,\"trickleHeaders\":true", "did not answer in time", "a byte at a time"},
		{"\"endlessHeaders\":true", "answered without end", "headers without end"},
		{"\"endless1xx\":true", NULL, "1xx without end"},
		{"\"stallAfterHeaders\":true,\"status\":200,\"headers\":{\"content-length\":\"5\"}", NULL,
		 "an open tunnel that is none"},
	};
	size_t i;

	connect_timeout = SHORT_CONNECT_TIMEOUT;
	proxy = url_of(&plain, "http", "user:secret@127.0.0.1");
	policy(false, "", certificate("ca"), 5000);
	slowest_call = 0;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
	{
		HttpResponse response;
		double began;
		char *records;

		fault_server_rules(&plain, "[{\"path\":\"*\",%s}]", faults[i].rule);
		reset_provider("[]");
		began = now();
		ok(ask(&response, "https://unknown.proxied.test:%d/token", provider.port) ==
				   HTTP_NOT_SENT &&
			   (faults[i].says == NULL || strstr(response.error, faults[i].says) != NULL) &&
			   response.status == 0 && response.body == NULL && response.retry_after == NULL &&
			   !response.local_trouble && now() - began < 2,
		   "%s: nothing was sent, in time: %s", faults[i].what, response.error);
		printf("# %s\n", response.detail);
		ok(strstr(response.error, "c2VjcmV0") == NULL && provider_saw(0), "nor seen");
		records = asked_of_proxy();
		ok(connections_of(records) == 1, "and the proxy was asked once");
		free(records);
		http_response_free(&response);
	}
	printf("# the longest turn took %.3f s\n", slowest_call);
	ok(slowest_call < 0.5, "no turn takes long");
	connect_timeout = 5000;
}

static void
test_no_proxy_there(void)
{
	HttpResponse response;

	proxy = "http://127.0.0.1:1";
	policy(false, "", certificate("ca"), 5000);
	ok(ask(&response, "https://unknown.proxied.test/") == HTTP_NOT_SENT &&
		   strstr(response.error, "the proxy (appuser_connectors.proxy) could not be connected to"),
	   "a dead proxy: %s", response.error);
	http_response_free(&response);
	proxy = "http://user:hidden@nowhere.test:3128";
	policy(false, "", certificate("ca"), 5000);
	ok(ask(&response, "https://unknown.proxied.test/") == HTTP_NOT_SENT &&
		   strstr(response.error, "name that could not be resolved") &&
		   !strstr(response.error, "hidden") && !strstr(response.detail, "hidden"),
	   "a proxy whose name is none: %s (%s)", response.error, response.detail);
	http_response_free(&response);
	ok(http_set_policy(&(HttpPolicy){.allowed_networks = "",
									 .allowed_hosts = "",
									 .ca_file = certificate("ca"),
									 .connect_timeout_ms = 5000,
									 .request_timeout_ms = 5000,
									 .no_proxy = "127.0.0.1",
									 .proxy_unknown = true}) &&
		   ask(&response, "https://outside.proxied.test/") == HTTP_NOT_SENT &&
		   strstr(response.error, "appuser_connectors.proxy"),
	   "one whose URL is not known: nothing goes past it: %s", response.error);
	http_response_free(&response);
	ok(ask(&response, "https://127.0.0.1:%d/", provider.port) == HTTP_FORBIDDEN,
	   "but what is an exception needs none");
	http_response_free(&response);
}

static void
test_addresses(void)
{
	static const char *const refused[] = {"10.0.0.1",
										  "192.168.1.1",
										  "169.254.169.254",
										  "127.0.0.1",
										  "0.0.0.0",
										  "[::1]",
										  "[fd00::1]",
										  "[::ffff:10.0.0.1]",
										  "localhost",
										  "inside.proxied.test",
										  "local6.proxied.test",
										  "metadata.proxied.test",
										  "dual.proxied.test",
										  "mixed.proxied.test",
										  "Inside.Proxied.Test",
										  "loopback.proxied.test"};
	size_t i;

	proxy = url_of(&plain, "http", "127.0.0.1");
	policy(false, "", certificate("ca"), 5000);
	tunnel_rules();
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(outcome_at(refused[i]) == HTTP_FORBIDDEN && proxy_saw_nothing(),
		   "%s is refused, and not asked of the proxy", refused[i]);

	policy(false, "10.0.0.0/24", certificate("ca"), 5000);
	ok(outcome_at("inside.proxied.test") == HTTP_ANSWERED && !proxy_saw_nothing(),
	   "in a network that is allowed it is asked");
	allowed_hosts = "inside.proxied.test,metadata.proxied.test";
	policy(false, "", certificate("ca"), 5000);
	ok(outcome_at("inside.proxied.test") == HTTP_ANSWERED, "so it is on a host that is allowed");
	tunnel_rules();
	ok(outcome_at("metadata.proxied.test") == HTTP_FORBIDDEN && proxy_saw_nothing(),
	   "but not on the address of a metadata service");
	allowed_hosts = "";

	policy(true, "", certificate("ca"), 5000);
	tunnel_rules();
	fault_server_rules(&plain, "[{\"path\":\"/x\"}]");
	ok(outcome_at("127.0.0.1") == HTTP_ANSWERED && outcome(&plain, "/x") == HTTP_ANSWERED &&
		   provider_saw(1) && fault_server_count(&plain, "/x") == 1,
	   "loopback, where it is allowed, is this machine's and not the proxy's");
}

static void
test_exceptions(void)
{
	static const struct
	{
		const char *list;
		bool direct;
	} lists[] = {{"proxied.test", true},
				 {".proxied.test", true},
				 {"inside.proxied.test", true},
				 {"other.test, INSIDE.proxied.test", true},
				 {"*", true},
				 {"test", true},
				 {"side.proxied.test", false},
				 {"xproxied.test", false},
				 {"10.0.0.0/8", false},
				 {"", false}};
	size_t i;

	proxy = url_of(&plain, "http", "127.0.0.1");
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		/* nobody listens there: directly it fails, or times out */
		no_proxy = lists[i].list;
		connect_timeout = SHORT_CONNECT_TIMEOUT;
		policy(false, "10.0.0.0/8", certificate("ca"), 1000);
		connect_timeout = 5000;
		tunnel_rules();
		ok((outcome_at("inside.proxied.test") == HTTP_ANSWERED) != lists[i].direct &&
			   proxy_saw_nothing() == lists[i].direct,
		   "no_proxy \"%s\": inside.proxied.test is called %s", lists[i].list,
		   lists[i].direct ? "directly" : "through the proxy");
	}
	no_proxy = "proxied.test";
	policy(false, "", certificate("ca"), 5000);
	tunnel_rules();
	ok(outcome_at("inside.proxied.test") == HTTP_FORBIDDEN && proxy_saw_nothing(),
	   "what is called directly is guarded as ever");
	no_proxy = "";
	ok(!http_set_policy(&(HttpPolicy){
		   .allowed_networks = "", .allowed_hosts = "", .ca_file = "", .no_proxy = "a b"}),
	   "what is no list is refused");
}

static void
test_tls(void)
{
	FaultServer secure = start_secure(NULL, NULL);
	HttpResponse response;
	char order[256];
	char command[1024];

	/* the tunnel leads to a server with another name */
	proxy = url_of(&plain, "http", "127.0.0.1");
	policy(false, "", certificate("ca"), 5000);
	fault_server_rules(&plain, "[{\"path\":\"*\",\"tunnelTo\":\"127.0.0.1:%d\"}]", secure.port);
	ok(ask(&response, "https://unknown.proxied.test/token") == HTTP_NOT_SENT &&
		   strstr(response.error, "its certificate is not for the name of the host"),
	   "TLS in the tunnel is with the host of the URL: %s", response.error);
	http_response_free(&response);
	policy(false, "", "", 5000);
	fault_server_rules(&plain, "[{\"path\":\"*\",\"tunnelTo\":\"127.0.0.1:%d\"}]", provider.port);
	ok(ask(&response, "https://unknown.proxied.test/token") == HTTP_NOT_SENT &&
		   strstr(response.error, "its certificate is not accepted"),
	   "and by an authority that is accepted: %s", response.error);
	http_response_free(&response);

	/* a proxy that is spoken to by TLS */
	snprintf(order, sizeof(order), "[{\"path\":\"*\",\"tunnelTo\":\"127.0.0.1:%d\"}]",
			 provider.port);
	snprintf(command, sizeof(command),
			 "curl -sS --noproxy '*' --cacert %s --data-binary '%s' https://localhost:%d/__ctl "
			 ">/dev/null",
			 certificate("ca"), order, secure.port);
	if (system(command) != 0)
		exit(2);
	proxy = url_of(&secure, "https", "user:secret@localhost");
	policy(false, "", certificate("ca"), 5000);
	reset_provider("[{\"path\":\"/token\",\"echo\":true}]");
	ok(outcome_at("unknown.proxied.test") == HTTP_ANSWERED && provider_saw(1), "a proxy by https");
	proxy = url_of(&secure, "https", "user:secret@proxy.test");
	policy(false, "", certificate("ca"), 5000);
	ok(ask(&response, "https://unknown.proxied.test/token") == HTTP_NOT_SENT &&
		   strstr(response.error, "the certificate of the proxy (appuser_connectors.proxy) is not"),
	   "must have a certificate for its name: %s", response.error);
	http_response_free(&response);
	proxy = url_of(&plain, "https", "localhost");
	policy(false, "", certificate("ca"), 5000);
	ok(ask(&response, "https://unknown.proxied.test/token") == HTTP_NOT_SENT &&
		   strstr(response.error, "appuser_connectors.proxy"),
	   "and one without TLS is none: %s", response.error);
	http_response_free(&response);
	fault_server_stop(&secure);
}

/* Many at once, each of its own host, some of which are given up while they are looked up */
static void
test_many(void)
{
	static int owners[100];
	HttpTransfer *transfers[100];
	HttpResponse response;
	int answered = 0;
	int canceled = 0;
	double began = now();
	int i;

	proxy = url_of(&plain, "http", "127.0.0.1");
	policy(false, "", certificate("ca"), 8000);
	tunnel_rules();
	for (i = 0; i < 100; i++)
	{
		char url[128];

		snprintf(url, sizeof(url), "https://h%d.proxied.test:%d/token", i, provider.port);
		transfers[i] = start(&owners[i], url, "a=b");
	}
	http_drive();
	for (i = 0; i < 100; i += 10, canceled++)
		http_cancel(transfers[i]);
	while (http_in_flight() > 0 && next_completed(&response) != NULL)
	{
		answered += response.outcome == HTTP_ANSWERED && strcmp(response.body, "a=b") == 0;
		http_response_free(&response);
	}
	printf("# in %.3f s\n", now() - began);
	ok(answered == 100 - canceled && http_in_flight() == 0,
	   "%d of 100 at once are answered, %d given up", answered, canceled);
}

/* Without file descriptors nothing is looked up, and nothing goes past the look-up. */
static void
test_resources(void)
{
	struct rlimit limit;
	struct rlimit exhausted;
	HttpResponse response;
	int before;
	int next;

	proxy = url_of(&plain, "http", "127.0.0.1");
	policy(false, "", certificate("ca"), 5000);
	tunnel_rules();
	getrlimit(RLIMIT_NOFILE, &limit);
	exhausted = limit;
	next = dup(0);
	close(next);
	exhausted.rlim_cur = (rlim_t) next;
	setrlimit(RLIMIT_NOFILE, &exhausted);
	ask(&response, "https://fresh.proxied.test/token");
	setrlimit(RLIMIT_NOFILE, &limit);
	ok(response.outcome == HTTP_NOT_SENT && response.local_trouble,
	   "a name that could not be asked for is this machine's trouble: %s", response.error);
	http_response_free(&response);
	before = lookups;
	ok(outcome_at("fresh.proxied.test") == HTTP_ANSWERED && lookups > before,
	   "and is looked up later");
}

/* What becomes of a request that has gone through the tunnel is as ever. */
static void
test_provider(void)
{
	static const struct
	{
		const char *rule;
		HttpOutcome outcome;
	} faults[] = {{"\"reset\":true", HTTP_UNANSWERED},
				  {"\"drop\":true", HTTP_UNANSWERED},
				  {"\"truncate\":1,\"body\":\"xx\"", HTTP_UNANSWERED},
				  {"\"endlessHeaders\":true", HTTP_TOO_LARGE},
				  {"\"endlessBody\":true", HTTP_TOO_LARGE},
				  {"\"status\":407", HTTP_ANSWERED},
				  {"\"status\":503,\"headers\":{\"retry-after\":\"9\"}", HTTP_ANSWERED}};
	char rules[256];
	size_t i;

	proxy = url_of(&plain, "http", "127.0.0.1");
	policy(false, "", certificate("ca"), 5000);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
	{
		HttpResponse response;

		tunnel_rules();
		snprintf(rules, sizeof(rules), "[{\"path\":\"/token\",%s}]", faults[i].rule);
		reset_provider(rules);
		ok(ask(&response, "https://unknown.proxied.test:%d/token", provider.port) ==
				   faults[i].outcome &&
			   provider_saw(1) && strstr(response.error, "proxy") == NULL,
		   "the provider's %s is the provider's: %s", faults[i].rule, response.error);
		if (strstr(faults[i].rule, "retry-after") != NULL)
			ok(response.retry_after != NULL && strcmp(response.retry_after, "9") == 0,
			   "with its Retry-After");
		http_response_free(&response);
	}
	reset_provider("[{\"path\":\"/token\",\"echo\":true}]");
	proxy = "";
	policy(false, "", certificate("ca"), 5000);
	fault_server_rules(&plain, "[]");
	ok(outcome_at("unknown.proxied.test") == HTTP_NOT_SENT && proxy_saw_nothing(),
	   "without the setting, the next request goes without the proxy");
}

int
main(void)
{
	char key[128];

	set_up();
	snprintf(key, sizeof(key), "%s/private-key.pem", directory);
	provider = fault_server_start("--tls-cert", certificate("private"), "--tls-key", key, NULL);
	if (!http_init())
		return 2;
	test_tunnel();
	test_bad_proxy();
	test_no_proxy_there();
	test_addresses();
	test_exceptions();
	test_tls();
	test_many();
	test_resources();
	test_provider();
	http_shutdown();
	fault_server_stop(&provider);
	fault_server_stop(&plain);
	return tap_done();
}
