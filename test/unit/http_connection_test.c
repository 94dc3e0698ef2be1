/* sources: src/http/http.c src/http/transfer.c src/http/connection.c src/http/lookup.c src/http/network.c src/http/rules.c src/http/memory.c src/http/environment.c */
/*
 * http_connection_test.c
 *	  That each request has a connection of its own and goes out once, over HTTP/1.1, under
 *	  TLS that cannot be talked into anything else; and what is left in memory, what of the
 *	  environment counts, and what happens without file descriptors.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <openssl/ssl.h>

#include "http_client.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED
#define RUNNING_INSTRUMENTED true
#else
#define RUNNING_INSTRUMENTED (getenv("LD_PRELOAD") != NULL) /* as valgrind sets it */
#endif

static int refused_watches = 0;

/* In place of the C library's: there is no room for more sockets to watch. */
__attribute__((visibility("default"))) int
epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	static int (*real)(int, int, int, struct epoll_event *);

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "epoll_ctl");
	if (operation == EPOLL_CTL_ADD && refused_watches > 0)
	{
		refused_watches--;
		errno = ENOSPC;
		return -1;
	}
	return real(epoll, operation, fd, event);
}

static int
number(const char *records, const char *name)
{
	char key[64];
	const char *found;

	snprintf(key, sizeof(key), "\"%s\":", name);
	found = strstr(records, key);
	return found != NULL ? atoi(found + strlen(key)) : -1;
}

/* The control endpoint of a server with TLS, by libcurl's program */
static char *
records_of(const FaultServer *server)
{
	char command[512];
	size_t size = 1 << 20;
	char *text = calloc(1, size);
	FILE *curl;

	snprintf(command, sizeof(command),
			 "curl -sS --noproxy '*' --cacert %s https://localhost:%d/__ctl", certificate("ca"),
			 server->port);
	curl = popen(command, "r");
	if (curl == NULL || fread(text, 1, size - 1, curl) == 0 || pclose(curl) != 0)
		exit(2);
	return text;
}

static void
control_of(const FaultServer *server, const char *body)
{
	char command[4096];

	snprintf(command, sizeof(command),
			 "curl -sS --noproxy '*' --cacert %s --data-binary '%s' https://localhost:%d/__ctl "
			 ">/dev/null",
			 certificate("ca"), body, server->port);
	if (system(command) != 0)
		exit(2);
}

static void
rules_of(const FaultServer *server, const char *rules)
{
	control_of(server, "{\"reset\":true}");
	control_of(server, rules);
}

/* Three people in a row at one server, whose answers come twice */
static void
test_answers(void)
{
	static const char *const status_lines[] = {
		"HTTP/1.1 200 OK", "HTTP/2 200 OK",    "HTTP/2 200",      "HTTP/2.0 200 OK",
		"HTTP/3 200 OK",   "HTTP/ 1.1 200",    "http/1.1 200 OK", "HTTP/1.1  200",
		"HTTP/1.0 200 OK", " HTTP/1.1 200 OK", "ICY 200 OK",      "HTTP/9.9 200"};
	static const char *const people[] = {"alice", "bob", "carol"};
	FaultServer secure = start_secure(NULL, NULL);
	int tls;
	size_t i;
	int j;

	policy(true, "", certificate("ca"), 2000);
	for (tls = 0; tls <= 1; tls++)
		for (i = 0; i < sizeof(status_lines) / sizeof(status_lines[0]); i++)
		{
			const FaultServer *server = tls ? &secure : &plain;
			char rules[2048] = "[";
			char *records;
			int mixed = 0;

			for (j = 0; j < 3; j++)
				snprintf(rules + strlen(rules), sizeof(rules) - strlen(rules),
						 "%s{\"path\":\"/%s\",\"body\":\"%s\",\"statusLine\":\"%s\","
						 "\"headers\":{\"connection\":\"keep-alive\"},\"duplicate\":true}",
						 j == 0 ? "" : ",", people[j], people[j], status_lines[i]);
			strcat(rules, "]");
			if (tls)
				rules_of(server, rules);
			else
				fault_server_rules(server, "%s", rules);
			for (j = 0; j < 3; j++)
			{
				HttpResponse response;

				fetch(&response, "code=x", "%s://localhost:%d/%s", tls ? "https" : "http",
					  server->port, people[j]);
				/* what follows the answer is read with it, if it is read at all */
				mixed += response.outcome == HTTP_ANSWERED && strcmp(response.body, people[j]) != 0;
				http_response_free(&response);
			}
			records = tls ? records_of(server) : fault_server_control(server, "/__ctl", NULL);
			ok(mixed == 0 && connections_of(records) == 3 &&
				   fault_server_number(records, "counts", "/carol") == 1,
			   "\"%s\", %s: each has a connection and an answer of their own", status_lines[i],
			   tls ? "TLS" : "TCP");
			free(records);
		}
	fault_server_stop(&secure);
}

/* One request, one connection, however it ends, and whatever has ended before */
static void
test_once(void)
{
	static const struct
	{
		const char *rule;
		HttpOutcome outcome;
		int requests;
		const char *moment;
	} faults[] = {
		{"{\"connect\":\"reset\",\"times\":1}", HTTP_NOT_SENT, 0, "before anything"},
		{"{\"connect\":\"drop\",\"times\":1}", HTTP_NOT_SENT, 0, "before anything, in order"},
		{"{\"connect\":\"resetAfterHello\",\"times\":1}", HTTP_NOT_SENT, 0,
		 "after the first bytes"},
		{"{\"connect\":\"resetAfterTls\",\"times\":1}", HTTP_UNANSWERED, -1, "after TLS"},
		{"[{\"path\":\"/x\",\"reset\":true}]", HTTP_UNANSWERED, 1, "after the request"},
		{"[{\"path\":\"/x\",\"drop\":true}]", HTTP_UNANSWERED, 1, "after the request, in order"},
		{"[{\"path\":\"/x\",\"refuse\":true}]", HTTP_UNANSWERED, 1, "by refusing the stream"},
		{"[{\"path\":\"/x\",\"goAway\":true}]", HTTP_UNANSWERED, 1, "by GOAWAY"},
		{"[{\"path\":\"/x\",\"resetAfterHeaders\":true,\"body\":\"xx\"}]", HTTP_UNANSWERED, 1,
		 "after the headers"},
		{"[{\"path\":\"/x\",\"truncate\":1,\"body\":\"xx\"}]", HTTP_UNANSWERED, 1, "in the body"},
		{"[{\"path\":\"/x\",\"raw\":\"HTTP/1.1 408 Request Timeout\\r\\ncontent-length: "
		 "0\\r\\nconnection: close\\r\\n\\r\\n\"}]",
		 HTTP_ANSWERED, 1, "after 408"},
		{"[{\"path\":\"/x\",\"raw\":\"HTTP/1.1 417 Expectation Failed\\r\\ncontent-length: "
		 "0\\r\\n\\r\\n\"}]",
		 HTTP_ANSWERED, 1, "after 417"},
		{"[{\"path\":\"/x\",\"raw\":\"HTTP/1.1 101 Switching Protocols\\r\\nconnection: "
		 "upgrade\\r\\nupgrade: h2c\\r\\n\\r\\n\"}]",
		 HTTP_UNANSWERED, 1, "after an upgrade that was not asked for"},
		{"[{\"path\":\"/x\",\"status\":401,\"headers\":{\"www-authenticate\":[\"Basic "
		 "realm=x\",\"Digest realm=x, nonce=y\",\"Negotiate\",\"NTLM\"]}}]",
		 HTTP_ANSWERED, 1, "after a challenge"},
		{"[{\"path\":\"/x\",\"status\":503,\"headers\":{\"retry-after\":\"0\","
		 "\"alt-svc\":\"h2=\\\":1\\\"\"}}]",
		 HTTP_ANSWERED, 1, "after 503"},
	};
	FaultServer secure = start_secure("--http2", NULL);
	int tls;
	size_t i;

	policy(true, "", certificate("ca"), 2000);
	for (tls = 0; tls <= 1; tls++)
		for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		{
			const FaultServer *server = tls ? &secure : &plain;
			HttpResponse response;
			char *records;
			int requests;
			int before;
			bool sent_without_tls = !tls && faults[i].requests <= 0;

			if (tls)
				rules_of(server, "[]");
			else
				fault_server_rules(server, "[]");
			/* so that there is a connection that could have been kept */
			fetch(&response, "a=b", "%s://localhost:%d/before", tls ? "https" : "http",
				  server->port);
			http_response_free(&response);
			records = tls ? records_of(server) : fault_server_control(server, "/__ctl", NULL);
			before = number(records, "accepted");
			free(records);
			if (tls)
				control_of(server, faults[i].rule);
			else
				free(fault_server_control(server, "/__ctl", faults[i].rule));
			fetch(&response, "code=x", "%s://localhost:%d/x", tls ? "https" : "http", server->port);
			records = tls ? records_of(server) : fault_server_control(server, "/__ctl", NULL);
			requests = fault_server_number(records, "counts", "/x");
			ok((response.outcome == faults[i].outcome ||
				(sent_without_tls && response.outcome == HTTP_UNANSWERED) ||
				/* with TLS 1.3 the client has written before it can know */
				(faults[i].requests < 0 && response.outcome == HTTP_ANSWERED && !tls)) &&
				   (faults[i].requests < 0 ? requests <= 1 : requests == faults[i].requests) &&
				   /* two others were for the rule and these records */
				   number(records, "accepted") - before == 3,
			   "broken %s, %s: it goes out %d times (outcome %d), not by a second connection",
			   faults[i].moment, tls ? "TLS" : "TCP", requests, response.outcome);
			http_response_free(&response);
			free(records);
		}
	fault_server_stop(&secure);
}

/* HTTP/2 is not taken where it is offered. */
static void
test_protocol(void)
{
	enum
	{
		N = 20
	};
	FaultServer server = start_secure("--http2", NULL);
	HttpResponse response;
	char url[64];
	int owners[N];
	int answered = 0;
	char *records;
	int i;

	policy(true, "", certificate("ca"), 2000);
	rules_of(&server, "[{\"path\":\"/x\",\"body\":\"x\"}]");
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/x", server.port);
	for (i = 0; i < N; i++)
		start(&owners[i], url, "a=b");
	while (http_in_flight() > 0 && next_completed(&response) != NULL)
	{
		answered += response.outcome == HTTP_ANSWERED;
		http_response_free(&response);
	}
	records = records_of(&server);
	ok(answered == N && strstr(records, "\"protocol\":\"HTTP/1.1\"") &&
		   !strstr(records, "\"protocol\":\"HTTP/2\""),
	   "a server that prefers HTTP/2 is spoken to by HTTP/1.1");
	ok(connections_of(records) == N, "%d requests at once have as many connections", N);
	free(records);
	fault_server_stop(&server);
}

/* ------------------------------------------------------------ a TLS server that misbehaves */

typedef enum TlsFault
{
	TLS_ANSWERS,
	TLS_SENDS_TICKETS, /* without end */
	TLS_SENDS_KEY_UPDATES
} TlsFault;

typedef struct TlsServer
{
	TlsFault fault;
	int listener;
	int port;
	SSL_CTX *context;
	pthread_t thread;
	int connections;
	int resumed;
} TlsServer;

static void
serve_tls(TlsServer *server, SSL *ssl)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
	char request[4096];

	if (SSL_accept(ssl) != 1)
		return;
	server->connections++;
	server->resumed += SSL_session_reused(ssl);
	/* OpenSSL says nothing of it when nobody is there for its tickets */
	errno = 0;
	if (server->fault == TLS_SENDS_TICKETS)
		while (errno == 0 && SSL_new_session_ticket(ssl) == 1 && SSL_do_handshake(ssl) == 1)
			;
	if (server->fault == TLS_SENDS_KEY_UPDATES)
		while (errno == 0 && SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
			   SSL_do_handshake(ssl) == 1)
			;
	if (SSL_read(ssl, request, sizeof(request)) > 0 &&
		SSL_write(ssl, answer, sizeof(answer) - 1) > 0)
		SSL_shutdown(ssl);
}

static void *
run_tls(void *arg)
{
	TlsServer *server = arg;
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0)
	{
		SSL *ssl = SSL_new(server->context);

		SSL_set_fd(ssl, fd);
		serve_tls(server, ssl);
		SSL_free(ssl);
		close(fd);
	}
	return NULL;
}

static void
start_tls(TlsServer *server, TlsFault fault)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	char key[128];

	memset(server, 0, sizeof(*server));
	server->fault = fault;
	snprintf(key, sizeof(key), "%s/localhost-key.pem", directory);
	server->context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate_chain_file(server->context, certificate("localhost"));
	SSL_CTX_use_PrivateKey_file(server->context, key, SSL_FILETYPE_PEM);
	SSL_CTX_set_session_id_context(server->context, (const unsigned char *) "x", 1);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server->listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(server->listener, 10) != 0 ||
		getsockname(server->listener, (struct sockaddr *) &address, &len) != 0 ||
		pthread_create(&server->thread, NULL, run_tls, server) != 0)
		exit(2);
	server->port = ntohs(address.sin_port);
}

static void
stop_tls(TlsServer *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	SSL_CTX_free(server->context);
}

static void
test_tls_faults(void)
{
	static const struct
	{
		TlsFault fault;
		const char *what;
	} floods[] = {{TLS_SENDS_TICKETS, "session tickets"}, {TLS_SENDS_KEY_UPDATES, "key updates"}};
	TlsServer server;
	HttpResponse response;
	size_t i;

	policy(true, "", certificate("ca"), 4000);
	start_tls(&server, TLS_ANSWERS);
	for (i = 0; i < 3; i++)
	{
		fetch(&response, "a=b", "https://localhost:%d/", server.port);
		ok(response.outcome == HTTP_ANSWERED && strcmp(response.body, "ok") == 0,
		   "a server of ours answers");
		http_response_free(&response);
	}
	stop_tls(&server);
	ok(server.connections == 3 && server.resumed == 2, "and TLS sessions are taken up again");

	for (i = 0; i < sizeof(floods) / sizeof(floods[0]); i++)
	{
		start_tls(&server, floods[i].fault);
		slowest_call = 0;
		ok(outcome_of_url("https://localhost:%d/", server.port) == HTTP_UNANSWERED,
		   "%s without end are no answer", floods[i].what);
		ok(slowest_call < (RUNNING_INSTRUMENTED ? 5 : 1.5),
		   "and keep nobody else waiting (at most %.3f s)", slowest_call);
		stop_tls(&server);
	}
}

/* How often text, given with every byte inverted, is in the heap. */
#ifdef SANITIZED
__attribute__((no_sanitize_address))
#endif
static int
found_in_heap(const char *inverted, size_t len)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long from;
	unsigned long to;
	int found = 0;

	while (fgets(line, sizeof(line), maps) != NULL)
	{
		const char *at;
		size_t i;

		if (strstr(line, "[heap]") == NULL || sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		for (at = (const char *) from; at + len <= (const char *) to; at++)
		{
			for (i = 0; i < len && (char) ~at[i] == inverted[i]; i++)
				;
			found += i == len;
		}
	}
	fclose(maps);
	return found;
}

/*
 * No copy of a secret is left, in http.c's memory or libcurl's.  (Where the heap is not the C library's own, under valgrind and
 * sanitizers, there is nothing to see.)
 */
static void
test_memory(void)
{
	enum
	{
		MARGIN = 64
	};
	char inverted[] = "refresh-token-0123456789";
	size_t len = strlen(inverted);
	char url[64];
	/* behind what free() itself overwrites */
	char secret[128] = "";
	char authorization[128];
	FaultServer server;
	HttpRequest request = {.url = url, .content_type = "text/plain", .body = secret};
	HttpResponse response;
	char *control;
	int owner;
	int turn;
	int echoed = 0;
	size_t i;

	for (i = 0; i < len; i++)
		inverted[i] = ~inverted[i];
	control = malloc(len);
	for (i = 0; i < len; i++)
		control[i] = ~inverted[i];
	ok(found_in_heap(inverted, len) == 1 || RUNNING_INSTRUMENTED, "a secret in the heap is seen");
	explicit_bzero(control, len);
	free(control);

	server = start_secure("--http2", NULL);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	rules_of(&server, "[{\"path\":\"/\",\"echo\":true}]");
	policy(true, "", certificate("ca"), 5000);
	for (turn = 0; turn < 3; turn++)
	{
		memset(secret, '.', MARGIN);
		for (i = 0; i < len; i++)
			secret[MARGIN + i] = ~inverted[i];
		secret[MARGIN + len] = '\0';
		memcpy(authorization, secret, sizeof(secret));
		request.body_len = MARGIN + len;
		request.authorization = authorization;
		http_start(&request, &owner);
		next_completed(&response);
		echoed += response.outcome == HTTP_ANSWERED && response.body_len == MARGIN + len &&
				  memcmp(response.body, secret, MARGIN + len) == 0;
		http_response_free(&response);
		explicit_bzero(secret, sizeof(secret));
		explicit_bzero(authorization, sizeof(authorization));
	}
	ok(echoed == 3 && found_in_heap(inverted, len) == 0,
	   "after a transfer nothing of its request and answer is left in memory");
	fault_server_stop(&server);
}

static void
test_connections(void)
{
	char *records;

	policy(true, "", "", 2000);
	fault_server_rules(&plain, "[{\"path\":\"/close\",\"closeAfter\":true}]");
	ok(outcome(&plain, "/close") == HTTP_ANSWERED && outcome(&plain, "/close") == HTTP_ANSWERED &&
		   fault_server_count(&plain, "/close") == 2,
	   "it does no harm that a server closes the connection after its answer");

	fault_server_rules(&plain, "[{\"path\":\"*\",\"body\":\"x\"}]");
	outcome(&plain, "/1");
	outcome(&plain, "/2");
	free(fault_server_control(&plain, "/__ctl/wait?open=0", NULL));
	records = fault_server_control(&plain, "/__ctl", NULL);
	ok(number(records, "open") == 0, "nor is any left open that could be used again");
	free(records);
}

/* What HttpResponse says of a request for which there is no file descriptor */
static bool
is_local_trouble(const char *format, int port)
{
	HttpResponse response;
	bool result;

	fetch(&response, "a=b", format, port);
	result = response.outcome == HTTP_NOT_SENT && response.local_trouble &&
			 strstr(response.error, "file descriptor") != NULL;
	if (!result)
		printf("# outcome %d, local %d: %s; %s\n", response.outcome, response.local_trouble,
			   response.error, response.detail);
	http_response_free(&response);
	return result;
}

static void
test_resources(void)
{
	struct rlimit before;
	struct rlimit none;
	HttpResponse response;
	double began;
	int next;

	policy(true, "", "", 5000);
	fault_server_rules(&plain, "[{\"path\":\"*\",\"body\":\"x\"}]");
	outcome(&plain, "/");
	free(fault_server_control(&plain, "/__ctl/wait?open=0", NULL));

	next = dup(0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = next;
	setrlimit(RLIMIT_NOFILE, &none);
	ok(is_local_trouble("http://127.0.0.1:%d/", plain.port),
	   "without a file descriptor nothing is sent, and it is not the provider's fault");
	ok(is_local_trouble("http://localhost:%d/", plain.port),
	   "also if there is none to resolve a name with");
	setrlimit(RLIMIT_NOFILE, &before);
	ok(outcome(&plain, "/") == HTTP_ANSWERED, "and it goes on when there are some again");

	refused_watches = 2;
	began = now();
	fetch(&response, "a=b", "http://127.0.0.1:%d/", plain.port);
	ok(response.outcome != HTTP_ANSWERED && response.local_trouble && now() - began < 2,
	   "a socket that cannot be watched ends its request at once, and is no fault of the provider");
	http_response_free(&response);
	refused_watches = 0;
	ok(outcome(&plain, "/") == HTTP_ANSWERED, "and no other request");
}

/* Names that are unset, and what would have followed from their values */
static const char *const cleared[] = {
	"SSLKEYLOGFILE",  "QLOGDIR",    "SSL_CERT_FILE", "SSL_CERT_DIR",
	"CURL_CA_BUNDLE", "http_proxy", "HTTP_PROXY",    "https_proxy",
	"HTTPS_PROXY",    "all_proxy",  "ALL_PROXY",     "no_proxy",
	"NO_PROXY",       "NETRC",      "CURL_HOME",     "CURL_SSL_BACKEND"};
static const char *const left_alone[] = {"OPENSSL_CONF", "OPENSSL_MODULES", "RES_OPTIONS",
										 "LOCALDOMAIN",  "HOSTALIASES",     "HOME"};

static void
set_environment(void)
{
	char path[128];
	FILE *file;
	size_t i;

	for (i = 0; i < sizeof(cleared) / sizeof(cleared[0]); i++)
		setenv(cleared[i], "http://127.0.0.1:1", 1);
	for (i = 0; i < sizeof(left_alone) / sizeof(left_alone[0]); i++)
		setenv(left_alone[i], "/nonexistent", 1);
	setenv("OPENSSL_CONF", "/dev/null", 1);
	setenv("SSL_CERT_FILE", certificate("ca"), 1);
	setenv("SSL_CERT_DIR", directory, 1);
	setenv("CURL_CA_BUNDLE", certificate("ca"), 1);
	setenv("CURL_SSL_BACKEND", "gnutls", 1);
	snprintf(path, sizeof(path), "%s/keys", directory);
	setenv("SSLKEYLOGFILE", path, 1);
	setenv("QLOGDIR", directory, 1);
	setenv("HOME", directory, 1);
	snprintf(path, sizeof(path), "%s/.netrc", directory);
	setenv("NETRC", path, 1);
	file = fopen(path, "w");
	fprintf(file, "default login someone password secret\n");
	fclose(file);
}

static void
test_environment(void)
{
	FaultServer server = start_secure(NULL, NULL);
	char path[128];
	char *records;
	size_t i;

	for (i = 0; i < sizeof(cleared) / sizeof(cleared[0]); i++)
		ok(getenv(cleared[i]) == NULL, "%s is cleared", cleared[i]);
	for (i = 0; i < sizeof(left_alone) / sizeof(left_alone[0]); i++)
		ok(getenv(left_alone[i]) != NULL, "%s is left alone", left_alone[i]);

	policy(true, "", "", 5000);
	ok(outcome_of_url("https://localhost:%d/", server.port) == HTTP_NOT_SENT,
	   "the environment names no authorities");
	policy(true, "", certificate("ca"), 5000);
	ok(outcome_of_url("https://localhost:%d/", server.port) == HTTP_ANSWERED &&
		   outcome_of_url("http://localhost:%d/", plain.port) == HTTP_ANSWERED,
	   "nor a proxy");
	records = records_of(&server);
	ok(strstr(records, "\"path\":\"/\"") && !strstr(records, "authorization"), "nor a password");
	free(records);
	snprintf(path, sizeof(path), "%s/keys", directory);
	ok(access(path, F_OK) != 0 && errno == ENOENT, "nor a file to write the keys of TLS to");
	fault_server_stop(&server);
}

int
main(void)
{
	set_up();
	set_environment();
	if (!http_init())
		return 2;
	test_environment();
	test_answers();
	test_once();
	test_connections();
	test_protocol();
	test_tls_faults();
	test_resources();
	test_memory();
	http_shutdown();
	fault_server_stop(&plain);
	return tap_done();
}
