/* sources: src/http/http.c src/http/transfer.c src/http/connection.c src/http/lookup.c src/http/network.c src/http/rules.c src/http/memory.c src/http/environment.c */
/*
 * http_test.c
 *	  The rules of http.h against a server that breaks HTTP in every way, and
 *	  against names that resolve to where they should not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#include "http_client.h"

#define REQUEST_TIMEOUT 500
#define SHORT_CONNECT_TIMEOUT 300

static int lookups = 0;
static volatile sig_atomic_t signals_elsewhere = 0;
static volatile sig_atomic_t signals_here = 0;
static pthread_t main_thread;

/*
 * In place of the C library's, for libcurl as well: names under .test resolve
 * as the tests need.  From 16 on, PostgreSQL's flags hide what is not marked.
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
	} names[] = {{"loopback.test", "127.0.0.1", NULL},
				 {"private.test", "10.0.0.1", NULL},
				 {"metadata.test", "169.254.169.254", NULL},
				 {"mapped.test", "::ffff:10.0.0.1", NULL},
				 {"local6.test", "fd00::1", NULL},
				 {"mixed.test", "10.0.0.1", "127.0.0.1"},
				 {"slow.test", "127.0.0.1", NULL}};
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo *last;
	size_t i;
	int code;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	__atomic_add_fetch(&lookups, 1, __ATOMIC_SEQ_CST);
	for (i = 0; node != NULL && i < sizeof(names) / sizeof(names[0]); i++)
	{
		struct addrinfo open_hints = *hints;

		if (strcmp(node, names[i].name) != 0)
			continue;
		if (strcmp(node, "slow.test") == 0)
			usleep(1500 * 1000);
		open_hints.ai_family = AF_UNSPEC;
		code = real(names[i].first, service, &open_hints, result);
		if (code != 0 || names[i].second == NULL)
			return code;
		for (last = *result; last->ai_next != NULL; last = last->ai_next)
			;
		return real(names[i].second, service, &open_hints, &last->ai_next);
	}
	if (node != NULL && strcmp(node, "nowhere.test") == 0)
		return EAI_NONAME;
	return real(node, service, hints, result);
}

/* Nobody is on 10.0.0.1: who connects to it comes here. */
__attribute__((visibility("default"))) int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	struct sockaddr_in here;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "connect");
	if (address->sa_family == AF_INET)
	{
		memcpy(&here, address, sizeof(here));
		if (here.sin_addr.s_addr == inet_addr("10.0.0.1"))
		{
			here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			return real(fd, (struct sockaddr *) &here, sizeof(here));
		}
	}
	return real(fd, address, len);
}

static void
count_signal(int number)
{
	(void) number;
	if (pthread_equal(pthread_self(), main_thread))
		signals_here++;
	else
		signals_elsewhere++;
}

static void
test_policy(void)
{
	static const char *const odd[] = {"http://2130706433:%d/",
									  "http://0x7f000001:%d/",
									  "http://017700000001:%d/",
									  "http://0177.0.0.1:%d/",
									  "http://0x7f.0.0.1:%d/",
									  "http://0x7f.1:%d/",
									  "http://127.1:%d/",
									  "http://127.0.1:%d/",
									  "http://127.0.0.1.:%d/",
									  "http://127.0.0.01:%d/",
									  "http://%%31%%32%%37.0.0.1:%d/",
									  "http://1.2.3.4.5:%d/",
									  "http://256.0.0.1:%d/",
									  "http://a.0x7f:%d/",
									  "http:/127.0.0.1:%d/",
									  "http:///127.0.0.1:%d/",
									  "http://user@127.0.0.1:%d/",
									  "http://user:pw@127.0.0.1:%d/",
									  "http://:@127.0.0.1:%d/",
									  "ftp://127.0.0.1:%d/",
									  "file:///etc/passwd",
									  "gopher://127.0.0.1:%d/",
									  "dict://127.0.0.1:%d/",
									  "ws://127.0.0.1:%d/"};
	static const char *const broken[] = {"127.0.0.1",
										 "",
										 "http://",
										 "http://[::1",
										 "https://a b/",
										 "https://a\nb/",
										 "http://127.0.0.1:99999/"};
	HttpResponse response;
	int looked_up;
	size_t i;

	fault_server_rules(&plain, "[{\"path\":\"*\",\"body\":\"here\"}]");
	ok(outcome(&plain, "/default") == HTTP_FORBIDDEN,
	   "http is refused when no policy has been set");
	policy(false, "", "", REQUEST_TIMEOUT);
	ok(outcome(&plain, "/strict") == HTTP_FORBIDDEN, "http on loopback is refused");
	policy(false, "127.0.0.0/8", "", REQUEST_TIMEOUT);
	ok(outcome(&plain, "/listed") == HTTP_FORBIDDEN, "also when loopback is a listed network");

	policy(false, "", "", REQUEST_TIMEOUT);
	fetch(&response, NULL, "https://127.0.0.1:%d/", plain.port);
	ok(response.outcome == HTTP_FORBIDDEN && strstr(response.detail, "127.0.0.1") != NULL,
	   "https on loopback is refused, naming the address for the log (%s)", response.detail);
	ok(strcmp(response.error, "an address that is not allowed") == 0, "and only there (%s)",
	   response.error);
	http_response_free(&response);
	ok(outcome_of_url("https://[::1]:%d/", plain.port) == HTTP_FORBIDDEN, "as is IPv6 loopback");
	ok(outcome_of_url("https://localhost:%d/", plain.port) == HTTP_FORBIDDEN, "and localhost");
	ok(outcome_of_url("https://[::ffff:127.0.0.1]:%d/", plain.port) == HTTP_FORBIDDEN,
	   "and mapped loopback");
	ok(outcome_of_url("https://private.test/", 0) == HTTP_FORBIDDEN,
	   "a name of a private address is refused");
	ok(outcome_of_url("https://metadata.test/", 0) == HTTP_FORBIDDEN,
	   "as is one of the metadata service");
	ok(outcome_of_url("https://mapped.test/", 0) == HTTP_FORBIDDEN,
	   "and of a mapped private address");
	ok(outcome_of_url("https://local6.test/", 0) == HTTP_FORBIDDEN,
	   "and of a private IPv6 address");
	ok(outcome_of_url("https://mixed.test/", 0) == HTTP_FORBIDDEN,
	   "and one of several addresses, all refused");

	policy(true, "", "", REQUEST_TIMEOUT);
	ok(outcome_of_url("https://private.test/", 0) == HTTP_FORBIDDEN,
	   "allowing loopback does not allow private addresses");
	ok(outcome_of_url("http://private.test/", 0) == HTTP_FORBIDDEN, "nor by http");
	looked_up = lookups;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		ok(outcome_of_url(odd[i], plain.port) == HTTP_FORBIDDEN, "%s is refused", odd[i]);
	for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
	{
		HttpOutcome result = fetch(&response, NULL, "%s", broken[i]);

		http_response_free(&response);
		ok(result == HTTP_FAILED || result == HTTP_FORBIDDEN, "malformed URL %zu is not taken",
		   i + 1);
	}
	ok(lookups == looked_up, "none of these was looked up");
	ok(fault_server_count(&plain, "/") == 0 && fault_server_count(&plain, "/strict") == 0 &&
		   fault_server_count(&plain, "/listed") == 0,
	   "nothing of all this was sent");

	ok(outcome(&plain, "/open") == HTTP_ANSWERED, "http on loopback works when allowed");
	ok(outcome_of_url("http://loopback.test:%d/", plain.port) == HTTP_ANSWERED,
	   "by any name that resolves to it");
	ok(outcome_of_url("http://mixed.test:%d/", plain.port) == HTTP_ANSWERED,
	   "an allowed address is used when another of the name's is refused");
	policy(true, "10.0.0.0/8", "", REQUEST_TIMEOUT);
	ok(outcome_of_url("http://private.test:%d/", plain.port) == HTTP_FORBIDDEN,
	   "a listed network is not reached by http");
	ok(outcome(&plain, "/open") == HTTP_ANSWERED, "a policy is replaced");
	policy(false, "", "", REQUEST_TIMEOUT);
	ok(outcome(&plain, "/open") == HTTP_FORBIDDEN,
	   "a kept connection is of no use once the policy forbids it");
	ok(http_valid_networks("10.0.0.0/8, fd00::/8") && !http_valid_networks("10.0.0.0/33"),
	   "lists of networks are checked");
	ok(!http_set_policy(&(HttpPolicy){true, "nonsense", "", "", 1000, 1000}) &&
		   outcome(&plain, "/open") == HTTP_FORBIDDEN,
	   "and with a wrong one the old policy stays");
	ok(http_valid_hosts("git.corp.example") && !http_valid_hosts("https://git.corp.example") &&
		   !http_set_policy(&(HttpPolicy){true, "", "10.0.0.1", "", 1000, 1000}) &&
		   outcome(&plain, "/open") == HTTP_FORBIDDEN,
	   "lists of hosts as well");
}

/* private.test is on 10.0.0.1, which connect() above has listen here. */
static void
test_hosts(void)
{
	char key[128];
	FaultServer server;

	snprintf(key, sizeof(key), "%s/private-key.pem", directory);
	server = fault_server_start("--tls-cert", certificate("private"), "--tls-key", key, NULL);
	allowed_hosts = "git.corp.example";
	policy(false, "", certificate("ca"), 2000);
	ok(outcome_of_url("https://private.test:%d/", server.port) == HTTP_FORBIDDEN,
	   "another host's being listed is no use");
	allowed_hosts = "git.corp.example, Private.test";
	policy(false, "", certificate("ca"), 2000);
	ok(outcome_of_url("https://private.test:%d/", server.port) == HTTP_ANSWERED,
	   "a listed host may be on a private address");
	ok(outcome_of_url("https://10.0.0.1:%d/", server.port) == HTTP_FORBIDDEN,
	   "but that address may not be called by others");
	fault_server_stop(&server);

	snprintf(key, sizeof(key), "%s/localhost-key.pem", directory);
	server = fault_server_start("--tls-cert", certificate("localhost"), "--tls-key", key, NULL);
	ok(outcome_of_url("https://private.test:%d/", server.port) == HTTP_NOT_SENT,
	   "whose certificate must say that it is the one");
	allowed_hosts = "metadata.test,loopback.test,localhost";
	policy(false, "", certificate("ca"), 2000);
	ok(outcome_of_url("https://metadata.test:%d/", server.port) == HTTP_FORBIDDEN,
	   "a listed host on a metadata address is refused");
	ok(outcome_of_url("https://loopback.test:%d/", server.port) == HTTP_FORBIDDEN &&
		   outcome_of_url("https://localhost:%d/", server.port) == HTTP_FORBIDDEN,
	   "as is one on loopback");
	allowed_hosts = "private.test";
	policy(true, "", certificate("ca"), 2000);
	ok(outcome_of_url("http://private.test:%d/", plain.port) == HTTP_FORBIDDEN,
	   "and a listed host by http");
	fault_server_stop(&server);
	allowed_hosts = "";
}

static void
test_request(void)
{
	HttpRequest request = {.body = "grant_type=refresh_token",
						   .body_len = 24,
						   .content_type = "application/x-www-form-urlencoded",
						   .authorization = "Basic Zm9vOmJhcg=="};
	HttpResponse response;
	char url[64];
	char *records;
	int owner;

	policy(true, "", "", REQUEST_TIMEOUT);
	fault_server_rules(&plain, "[{\"path\":\"/token\",\"status\":429,\"body\":{\"a\":1},"
							   "\"headers\":{\"Retry-After\":\" 120 \",\"Set-Cookie\":\"c=1\"}}]");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/token", plain.port);
	request.url = url;
	http_start(&request, &owner);
	next_completed(&response);
	ok(response.outcome == HTTP_ANSWERED && response.status == 429, "the status arrives");
	ok(response.body_len == 7 && strcmp(response.body, "{\"a\":1}") == 0, "and the body");
	ok(response.content_type && strcmp(response.content_type, "application/json") == 0,
	   "and its type");
	ok(response.retry_after && strcmp(response.retry_after, "120") == 0, "and Retry-After");
	ok(response.seconds > 0 && response.seconds < 5, "and how long it took");
	http_response_free(&response);
	ok(response.body == NULL && response.retry_after == NULL, "a freed response is empty");

	records = fault_server_control(&plain, "/__ctl", NULL);
	ok(strstr(records, "\"method\":\"POST\"") &&
		   strstr(records, "\"body\":\"grant_type=refresh_token\"") &&
		   strstr(records, "\"content-length\":\"24\""),
	   "the request's body was sent");
	ok(strstr(records, "\"authorization\":\"Basic Zm9vOmJhcg==\"") &&
		   strstr(records, "\"content-type\":\"application/x-www-form-urlencoded\"") &&
		   strstr(records, "\"accept\":\"application/json\"") &&
		   strstr(records, "\"user-agent\":\"appuser_connectors\""),
	   "with the headers asked for");
	ok(strstr(records, "\"accept-encoding\":\"identity\"") != NULL,
	   "and no encoding of the answer is welcome");
	ok(!strstr(records, "\"expect\"") && !strstr(records, "cookie") && !strstr(records, "upgrade"),
	   "and no others");
	free(records);

	fault_server_rules(&plain, "[{\"path\":\"/get\",\"status\":204}]");
	fetch(&response, NULL, "http://127.0.0.1:%d/get?x=%%20y#fragment", plain.port);
	ok(response.outcome == HTTP_ANSWERED && response.status == 204 && response.body_len == 0 &&
		   response.body[0] == '\0' && response.content_type == NULL &&
		   response.retry_after == NULL,
	   "an empty answer has an empty body");
	http_response_free(&response);
	records = fault_server_control(&plain, "/__ctl", NULL);
	ok(strstr(records, "\"method\":\"GET\"") && strstr(records, "\"url\":\"/get?x=%20y\"") &&
		   !strstr(records, "cookie") && !strstr(records, "authorization") &&
		   !strstr(records, "content-"),
	   "without a body it is a GET, and without cookies or what .netrc says");
	free(records);

	fault_server_rules(&plain, "[]");
	fetch(&response, "", "http://127.0.0.1:%d/empty", plain.port);
	http_response_free(&response);
	records = fault_server_control(&plain, "/__ctl", NULL);
	ok(strstr(records, "\"method\":\"POST\"") && strstr(records, "\"content-length\":\"0\""),
	   "an empty body is a POST");
	free(records);

	request.authorization = "Basic x\r\nX-Injected: 1";
	http_start(&request, &owner);
	next_completed(&response);
	ok(response.outcome == HTTP_FAILED, "a header value with a line break is refused");
	http_response_free(&response);
	request.authorization = NULL;
	request.content_type = "a\nb";
	http_start(&request, &owner);
	next_completed(&response);
	ok(response.outcome == HTTP_FAILED && fault_server_count(&plain, "/token") == 0,
	   "so is a content type, and nothing is sent");
	http_response_free(&response);

	fault_server_rules(&plain, "[{\"path\":\"/moved\",\"status\":307,"
							   "\"headers\":{\"Location\":\"/target\"}}]");
	fetch(&response, "secret=1", "http://127.0.0.1:%d/moved", plain.port);
	ok(response.outcome == HTTP_ANSWERED && response.status == 307 &&
		   fault_server_count(&plain, "/target") == 0,
	   "a redirect is an answer, not followed");
	http_response_free(&response);
}

/* What was not asked for and comes all the same (RFC 9110 §12.5.3: "identity" is a wish) */
static void
test_encodings(void)
{
	/* {"a":1} compressed */
	static const struct
	{
		const char *encoding;
		const char *base64;
		bool read;
		const char *name;
	} cases[] = {
		{"gzip", "H4sIAAAAAAACA6tWSlSyMqwFAK+sG1YHAAAA", true, "gzip is decoded"},
		{"X-GZIP", "H4sIAAAAAAACA6tWSlSyMqwFAK+sG1YHAAAA", true, "under its other name"},
		{"deflate", "eJyrVkpUsjKsBQAIKgIJ", true, "deflate is decoded"},
		{"deflate", "q1ZKVLIyrAUA", true, "without zlib's header too"},
		{"identity", "eyJhIjoxfQ==", true, "identity is none"},
		{"gzip", "H4sIAAAAAAACA6tWSlSyMqwFAK6sG1YHAAAA", false, "a wrong checksum is no answer"},
		{"gzip", "eyJhIjoxfQ==", false, "what is not encoded as it says is no answer"},
#if LIBCURL_VERSION_NUM < 0x080700
		{"utf-8", "eyJhIjoxfQ==", true, "what is no encoding is no reason to lose an answer"},
		{"", "eyJhIjoxfQ==", true, "nor is an empty one"},
#endif
	};
	static const char bomb[] =
		"H4sIAAAAAAACA5Pv5mAAASbmt3cU/acmyrQ/DLfIO8PbkqBUMWmmR6OjotLsII1zMzXz+jiklQV/"
		"iNSxLJ5tssl1kfwBpoNPbN7N0X/47d71qfP+9O+33R0ft56n2Pv0/rzv5m2JRjlz3867s3fXz7qK"
		"4l9ffzx8DLKm5/bR9ufZk48+Pr/77N9koEDCm3Vl266Lrz7w+OfLI5YggS9xf/7t3H6D6V1avNm9"
		"XewgTff+Pv00+aeYwdy/FhZFfEARib3fmxiB9AQlCZCpumCOgDIS58KozKjMqMyozKjMqAxxMp8q"
		"06ut7jNdk0+fHyZuz/Jveb63//99dZ9zJL79Y5zWP9vx0ht+BgBae/naMAcAAA==";
	static const struct
	{
		const char *headers;
		const char *base64;
		const char *name;
	} repeated[] = {
		{"{\"Content-Encoding\":[\"gzip\",\"gzip\"]}",
		 "H4sIAAAAAAACA5Pv5mAAASbm1WFeIZuM1rAyrF8jHcYOFAIAe60FqBsAAAA=",
		 "what is encoded twice is not read"},
		{"{\"Content-Encoding\":[\"gzip\",\"gzip\",\"identity\",\"x-gzip\",\"gzip\"]}", bomb,
		 "nor what is a gigabyte between two decoders"},
		{"{\"Transfer-Encoding\":\"gzip, gzip, gzip, gzip, chunked\"}", bomb,
		 "neither under Transfer-Encoding"},
		{"{\"Content-Encoding\":\"gzip\",\"Transfer-Encoding\":\"gzip, chunked\"}",
		 "H4sIAAAAAAACA5Pv5mAAASbm1WFeIZuM1rAyrF8jHcYOFAIAe60FqBsAAAA=", "nor under both"},
	};
	HttpResponse response;
	size_t i;

	policy(true, "", "", 8000);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		fault_server_rules(&plain,
						   "[{\"path\":\"*\",\"headers\":{\"Content-Encoding\":\"%s\"},"
						   "\"bodyBase64\":\"%s\"}]",
						   cases[i].encoding, cases[i].base64);
		fetch(&response, NULL, "http://127.0.0.1:%d/encoded", plain.port);
		ok(cases[i].read ? response.outcome == HTTP_ANSWERED && response.body_len == 7 &&
							   strcmp(response.body, "{\"a\":1}") == 0
						 : response.outcome == HTTP_UNANSWERED && response.body == NULL,
		   "%s", cases[i].name);
		http_response_free(&response);
	}

	/* {"a":1}, and the name of a file of a gigabyte, which the last decoder would skip */
	for (i = 0; i < sizeof(repeated) / sizeof(repeated[0]); i++)
	{
		struct timespec before;
		struct timespec after;

		fault_server_rules(&plain, "[{\"path\":\"*\",\"headers\":%s,\"bodyBase64\":\"%s\"}]",
						   repeated[i].headers, repeated[i].base64);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
		ok(outcome(&plain, "/repeatedly") == HTTP_TOO_LARGE, "%s", repeated[i].name);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
		ok((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 500,
		   "... at once");
	}

	/* what counts is what comes out */
	fault_server_rules(&plain, "[{\"path\":\"*\",\"gzip\":%d}]", HTTP_MAX_BODY);
	fetch(&response, NULL, "http://127.0.0.1:%d/full", plain.port);
	ok(response.outcome == HTTP_ANSWERED && response.body_len == HTTP_MAX_BODY,
	   "1 MiB that comes compressed is read");
	http_response_free(&response);
	fault_server_rules(&plain, "[{\"path\":\"*\",\"gzip\":%d}]", HTTP_MAX_BODY + 1);
	ok(outcome(&plain, "/bomb") == HTTP_TOO_LARGE, "one byte more is too large");
	fault_server_rules(&plain, "[{\"path\":\"*\",\"gzip\":%d}]", 64 * HTTP_MAX_BODY);
	ok(outcome(&plain, "/bomb") == HTTP_TOO_LARGE, "as is what would be 64 MiB");
}

static void
test_sizes(void)
{
	static const int sizes[] = {0, 1, 4095, 4096, 4097, HTTP_MAX_BODY - 1, HTTP_MAX_BODY};
	char *big = malloc(2 * HTTP_MAX_BODY + 1);
	HttpResponse response;
	double began;
	size_t i;

	/* these are ended by their sizes, not by the clock */
	policy(true, "", "", 8000);
	memset(big, 'x', 2 * HTTP_MAX_BODY);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		fault_server_rules(&plain, "[{\"body\":\"%.*s\"}]", sizes[i], big);
		fetch(&response, NULL, "http://127.0.0.1:%d/", plain.port);
		ok(response.outcome == HTTP_ANSWERED && response.body_len == (size_t) sizes[i] &&
			   strlen(response.body) == (size_t) sizes[i],
		   "a body of %d bytes arrives", sizes[i]);
		http_response_free(&response);
	}
	fault_server_rules(&plain, "[{\"body\":\"%.*s\"}]", HTTP_MAX_BODY + 1, big);
	ok(outcome(&plain, "/") == HTTP_TOO_LARGE, "one more than the cap is too large");
	fault_server_rules(&plain, "[{\"body\":\"%.*s\"}]", 2 * HTTP_MAX_BODY, big);
	fetch(&response, NULL, "http://127.0.0.1:%d/", plain.port);
	ok(response.outcome == HTTP_TOO_LARGE && response.body == NULL && response.error[0] != '\0',
	   "2 MiB are too large, and nothing of them is kept (%s)", response.error);
	http_response_free(&response);

	began = now();
	fault_server_rules(&plain,
					   "[{\"path\":\"/body\",\"endlessBody\":true},"
					   "{\"path\":\"/headers\",\"endlessHeaders\":true},"
					   "{\"path\":\"/1xx\",\"endless1xx\":true},"
					   "{\"path\":\"/line\",\"headers\":{\"x\":\"%.*s\"}},"
					   "{\"path\":\"/status\",\"raw\":\"HTTP/1.1 200 %.*s\"},"
					   "{\"path\":\"/70k\",\"headers\":{\"x\":[\"%.*s\",\"%.*s\"]}},"
					   "{\"path\":\"/60k\",\"headers\":{\"x\":[\"%.*s\",\"%.*s\"]}}]",
					   HTTP_MAX_BODY, big, HTTP_MAX_BODY, big, 35000, big, 35000, big, 30000, big,
					   30000, big);
	ok(outcome(&plain, "/body") == HTTP_TOO_LARGE, "an endless body is too large");
	ok(outcome(&plain, "/headers") == HTTP_TOO_LARGE, "endless headers are too large");
	ok(outcome(&plain, "/1xx") == HTTP_TOO_LARGE, "endless interim answers are too large");
	ok(outcome(&plain, "/line") == HTTP_TOO_LARGE, "a header of 1 MiB is too large");
	ok(outcome(&plain, "/status") == HTTP_TOO_LARGE, "so is a status line");
	ok(outcome(&plain, "/70k") == HTTP_TOO_LARGE, "headers are capped together");
	ok(outcome(&plain, "/60k") == HTTP_ANSWERED, "headers below the cap are read");
	ok(now() - began < 4, "the caps end these before their deadline does");
	free(big);
}

static void
test_faults(void)
{
	static const char *const garbage[] = {
		"garbage\\r\\n\\r\\n",
		"HTTP/1.1\\r\\n\\r\\n",
		"\\u0000\\u0001",
		"HTTP/1.1 200 OK\\r\\nContent-Length: abc\\r\\n\\r\\n",
		"HTTP/1.1 200 OK\\r\\nContent-Length: 9",
		"HTTP/1.1 100 Continue\\r\\n\\r\\n",
		"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n"};
	static const struct
	{
		const char *rule;
		const char *name;
	} timed[] = {
		{"\"hang\":true", "a server that never answers"},
		{"\"stallAfterHeaders\":true,\"body\":\"x\"", "one that stalls after the headers"},
		{"\"trickleMs\":50,\"body\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxx\"", "one that drips the body"},
		{"\"trickleMs\":50,\"trickleHeaders\":true", "one that drips the headers"},
		{"\"delayMs\":700", "one that is late"}};
	FaultServer gone;
	HttpResponse response;
	size_t i;

	policy(true, "", "", REQUEST_TIMEOUT);
	for (i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
	{
		double began = now();
		HttpOutcome result;

		fault_server_rules(&plain, "[{%s}]", timed[i].rule);
		began = now();
		result = outcome(&plain, "/");
		ok(result == HTTP_UNANSWERED && now() - began >= REQUEST_TIMEOUT / 1000.0 - 0.05 &&
			   now() - began < REQUEST_TIMEOUT / 1000.0 + 1.5,
		   "%s is given up at the deadline, unanswered", timed[i].name);
	}

	fault_server_rules(&plain,
					   "[{\"path\":\"/drop\",\"drop\":true},{\"path\":\"/reset\",\"reset\":true},"
					   "{\"path\":\"/half\",\"truncate\":true,\"body\":\"secret-secret\"}]");
	ok(outcome(&plain, "/drop") == HTTP_UNANSWERED, "a dropped connection leaves it unanswered");
	ok(outcome(&plain, "/reset") == HTTP_UNANSWERED, "so does a reset one");
	ok(fault_server_count(&plain, "/drop") == 1 && fault_server_count(&plain, "/reset") == 1,
	   "a new connection that fails is not tried again");
	fetch(&response, "a=b", "http://127.0.0.1:%d/half?q=secret", plain.port);
	ok(response.outcome == HTTP_UNANSWERED && response.body == NULL && response.status == 0,
	   "half a body is no answer");
	ok(response.error[0] != '\0' && !strstr(response.error, "secret"),
	   "and the error quotes nothing (%s)", response.error);
	http_response_free(&response);
	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
	{
		fault_server_rules(&plain, "[{\"raw\":\"%s\"}]", garbage[i]);
		ok(outcome(&plain, "/") == HTTP_UNANSWERED, "\"%s\" is no answer", garbage[i]);
	}

	gone = fault_server_start(NULL);
	fault_server_stop(&gone);
	fetch(&response, "a=b", "http://127.0.0.1:%d/", gone.port);
	ok(response.outcome == HTTP_NOT_SENT && !response.local_trouble,
	   "to a closed port nothing is sent");
	ok(strpbrk(response.error, "0123456789:") == NULL,
	   "and neither address nor port is named but in the log (%s; %s)", response.error,
	   response.detail);
	http_response_free(&response);
	ok(outcome_of_url("http://mixed.test:%d/", gone.port) == HTTP_NOT_SENT,
	   "which is not forbidden, though one of the addresses is");
	fetch(&response, "a=b", "http://nowhere.test/?q=secret");
	ok(response.outcome == HTTP_NOT_SENT && strstr(response.error, "not be resolved") &&
		   strstr(response.detail, "nowhere.test") && !strstr(response.detail, "secret"),
	   "nor to a name that does not exist (%s)", response.detail);
	http_response_free(&response);
}

static void
test_tls(void)
{
	static const struct
	{
		const char *name;
		bool with_ca;
		const char *promise;
	} refused[] = {{"localhost", false, "an unknown authority is refused"},
				   {"self-signed", false, "a self-signed certificate is refused"},
				   {"self-signed", true, "also when there are other authorities"},
				   {"wrong-name", true, "a certificate of another name is refused"},
				   {"expired", true, "an expired certificate is refused"}};
	char key[128];
	char missing[128];
	HttpResponse response;
	FaultServer server;
	FILE *file;
	double began;
	size_t i;

	snprintf(missing, sizeof(missing), "%s/missing.pem", directory);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		snprintf(key, sizeof(key), "%s/%s-key.pem", directory, refused[i].name);
		server =
			fault_server_start("--tls-cert", certificate(refused[i].name), "--tls-key", key, NULL);
		policy(true, "", refused[i].with_ca ? certificate("ca") : "", 2000);
		fetch(&response, "a=b", "https://127.0.0.1:%d/", server.port);
		ok(response.outcome == HTTP_NOT_SENT && strstr(response.error, "certificate") &&
			   strpbrk(response.error, "0123456789/") == NULL,
		   "%s (%s)", refused[i].promise, response.error);
		http_response_free(&response);
		fault_server_stop(&server);
	}

	snprintf(key, sizeof(key), "%s/localhost-key.pem", directory);
	server = fault_server_start("--tls-cert", certificate("localhost"), "--tls-key", key, NULL);
	policy(false, "127.0.0.0/8", certificate("ca"), 2000);
	ok(outcome_of_url("https://127.0.0.1:%d/", server.port) == HTTP_ANSWERED,
	   "ca_file's authority is accepted, and a listed network reached");
	ok(outcome_of_url("https://localhost:%d/", server.port) == HTTP_ANSWERED, "by name as well");
	ok(outcome_of_url("https://loopback.test:%d/", server.port) == HTTP_NOT_SENT,
	   "but not by a name the certificate lacks");
	policy(false, "127.0.0.0/8", "", 2000);
	ok(outcome_of_url("https://127.0.0.1:%d/", server.port) == HTTP_NOT_SENT,
	   "not without ca_file, however many connections are kept");
	policy(false, "127.0.0.0/8", missing, 2000);
	ok(outcome_of_url("https://127.0.0.1:%d/", server.port) == HTTP_NOT_SENT,
	   "nothing is sent while ca_file cannot be read");
	file = fopen(missing, "w");
	fprintf(file, "no certificate\n");
	fclose(file);
	policy(false, "127.0.0.0/8", missing, 2000);
	fetch(&response, NULL, "https://127.0.0.1:%d/", server.port);
	ok(response.outcome == HTTP_NOT_SENT && strstr(response.error, "cannot be read"),
	   "or has no certificate in it");
	http_response_free(&response);
	unlink(missing);
	if (link(certificate("ca"), missing) != 0)
		exit(2);
	policy(false, "127.0.0.0/8", missing, 2000);
	ok(outcome_of_url("https://127.0.0.1:%d/", server.port) == HTTP_ANSWERED,
	   "the same policy set again reads it again");
	unlink(missing);
	if (link(certificate("self-signed"), missing) != 0)
		exit(2);
	policy(false, "127.0.0.0/8", missing, 2000);
	ok(outcome_of_url("https://127.0.0.1:%d/", server.port) == HTTP_NOT_SENT,
	   "and an authority that it no longer has is accepted no longer");
	fault_server_stop(&server);

	policy(true, "", certificate("ca"), 2000);
	ok(outcome_of_url("https://127.0.0.1:%d/", plain.port) == HTTP_NOT_SENT,
	   "to a server without TLS nothing is sent");
	fault_server_rules(&plain, "{\"connect\":\"reset\",\"times\":1}");
	ok(outcome_of_url("https://127.0.0.1:%d/", plain.port) == HTTP_NOT_SENT,
	   "nor when the connection is reset before TLS");
	fault_server_rules(&plain, "{\"connect\":\"hang\",\"times\":1}");
	connect_timeout = SHORT_CONNECT_TIMEOUT;
	policy(true, "", certificate("ca"), 5000);
	began = now();
	ok(outcome_of_url("https://127.0.0.1:%d/", plain.port) == HTTP_NOT_SENT && now() - began < 2,
	   "nor when TLS hangs, which the connect timeout ends");
	connect_timeout = 5000;
}

static void
test_parallel(void)
{
	enum
	{
		N = 50
	};
	HttpTransfer *transfers[N];
	int owners[N] = {0};
	HttpResponse response;
	char url[64];
	char *records;
	double deadline = now() + 8;
	int held = 0;
	int answered = 0;
	int i;
	int *owner;

	policy(true, "", "", 9000);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/held", plain.port);
	fault_server_rules(&plain, "[{\"path\":\"/held\",\"hold\":\"all\",\"body\":\"x\"}]");
	for (i = 0; i < N; i++)
		transfers[i] = start(&owners[i], url, "a=b");
	ok(http_in_flight() == N, "%d transfers are in flight", N);
	while (held < N && now() < deadline)
	{
		struct pollfd fd = {http_epoll_fd(), POLLIN, 0};

		poll(&fd, 1, 20);
		http_drive();
		records = fault_server_control(&plain, "/__ctl", NULL);
		held = fault_server_number(records, "held", "all");
		free(records);
	}
	ok(held == N && http_next_completed(&response) == NULL, "%d requests are held at once", held);
	free(fault_server_control(&plain, "/__ctl", "{\"release\":\"all\"}"));
	while (http_in_flight() > 0 && (owner = next_completed(&response)) != NULL)
	{
		(*owner)++;
		answered += response.outcome == HTTP_ANSWERED;
		http_response_free(&response);
	}
	for (i = 0; i < N && owners[i] == 1; i++)
		;
	ok(i == N && answered == N && http_next_completed(&response) == NULL,
	   "each completes, with its owner, once");

	fault_server_rules(&plain, "[{\"path\":\"/held\",\"hold\":\"all\",\"body\":\"x\"}]");
	for (i = 0; i < N; i++)
		transfers[i] = start(&owners[i], url, "a=b");
	for (held = 0; held < N && now() < deadline;)
	{
		http_drive();
		records = fault_server_control(&plain, "/__ctl", NULL);
		held = fault_server_number(records, "held", "all");
		free(records);
	}
	for (i = 1; i < N; i++)
		http_cancel(transfers[i]);
	ok(http_in_flight() == 1, "cancelled transfers are no longer in flight");
	free(fault_server_control(&plain, "/__ctl/wait?open=1", NULL));
	ok(true, "and their connections are closed");
	free(fault_server_control(&plain, "/__ctl", "{\"release\":\"all\"}"));
	ok(next_completed(&response) == &owners[0] && http_in_flight() == 0,
	   "the one that was not cancelled completes");
	http_response_free(&response);
	http_drive();
	ok(http_next_completed(&response) == NULL, "the others never do");

	transfers[0] = start(&owners[0], "ftp://127.0.0.1/", NULL);
	transfers[1] = start(&owners[1], "ftp://127.0.0.1/", NULL);
	ok(http_timeout_ms() == 0, "a completed transfer is not waited for");
	http_cancel(transfers[1]);
	transfers[2] = start(&owners[2], "ftp://127.0.0.1/", NULL);
	http_cancel(transfers[0]);
	ok(next_completed(&response) == &owners[2] && http_in_flight() == 0,
	   "completed ones can be cancelled too");
	http_response_free(&response);
	ok(http_timeout_ms() == -1 || http_timeout_ms() > 0, "idle, there is nothing to do at once");
}

static void
test_resolver(void)
{
	struct sigaction action = {.sa_handler = count_signal};
	HttpTransfer *transfer;
	HttpResponse response;
	sigset_t usr1;
	double began;
	int owner;

	main_thread = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	connect_timeout = SHORT_CONNECT_TIMEOUT;
	policy(true, "", "", 5000);
	slowest_call = 0;

	began = now();
	start(&owner, "http://slow.test/", NULL);
	http_drive();
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	kill(getpid(), SIGUSR1);
	/* long enough for another thread to take it */
	ok(next_completed(&response) == &owner && response.outcome == HTTP_NOT_SENT &&
		   now() - began < 1.2,
	   "a slow resolver is given up at the connect timeout");
	http_response_free(&response);
	ok(signals_elsewhere == 0 && signals_here == 0, "no thread of libcurl takes a signal");
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	ok(signals_here == 1 && signals_elsewhere == 0, "the caller does, when it is ready");

	transfer = start(&owner, "http://slow.test/", NULL);
	http_drive();
	began = now();
	http_cancel(transfer);
	ok(now() - began < 0.8 && http_in_flight() == 0, "nor does cancelling wait for it");
	connect_timeout = 5000;
	ok(slowest_call < 0.8, "no call blocked (at most %.3f s)", slowest_call);
}

int
main(void)
{
	char url[64];
	HttpResponse response;
	int owner;

	set_up();
	ok(http_epoll_fd() < 0 && http_init() && http_init() && http_epoll_fd() >= 0,
	   "it is set up once");
	test_policy();
	/* early, so that its threads have ended when this program does */
	test_resolver();
	test_request();
	test_encodings();
	test_sizes();
	test_faults();
	test_tls();
	test_hosts();
	test_parallel();

	policy(true, "", "", 2000);
	fault_server_rules(&plain, "[{\"hang\":true}]");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", plain.port);
	start(&owner, url, "a=b");
	start(&owner, "ftp://127.0.0.1/", NULL);
	http_drive();
	http_shutdown();
	ok(http_in_flight() == 0 && http_epoll_fd() < 0 && http_next_completed(&response) == NULL,
	   "shutting down ends all transfers");
	http_shutdown();
	ok(http_init() && outcome(&plain, "/") == HTTP_FORBIDDEN, "and it can be set up anew");
	http_shutdown();
	fault_server_stop(&plain);
	return tap_done();
}
