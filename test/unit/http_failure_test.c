/* sources: src/base/base64.c */

/*
 * http_failure_test.c
 *	  Whatever fails in setting up and driving a transfer, of our calls and of
 *	  libcurl's allocations, which are ours: it ends soon, an answer is the right
 *	  one, and no memory is left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <poll.h>
#include <sys/epoll.h>

#include "fault_server.h"
#include "failing.h"

#undef curl_easy_setopt
#undef curl_multi_setopt
#undef curl_share_setopt
#define curl_easy_init() FAIL_OR(NULL, curl_easy_init())
#define curl_easy_setopt(easy, option, value)                                                      \
	FAIL_OR(CURLE_OUT_OF_MEMORY, curl_easy_setopt(easy, option, value))
#define curl_global_init_mem(...) FAIL_OR(CURLE_FAILED_INIT, curl_global_init_mem(__VA_ARGS__))
#define curl_multi_add_handle(...) FAIL_OR(CURLM_OUT_OF_MEMORY, curl_multi_add_handle(__VA_ARGS__))
#define curl_multi_init() FAIL_OR(NULL, curl_multi_init())
#define curl_multi_setopt(multi, option, value)                                                    \
	FAIL_OR(CURLM_OUT_OF_MEMORY, curl_multi_setopt(multi, option, value))
#define curl_share_init() FAIL_OR(NULL, curl_share_init())
#define curl_share_setopt(share, option, value)                                                    \
	FAIL_OR(CURLSHE_NOMEM, curl_share_setopt(share, option, value))
#define curl_slist_append(...) FAIL_OR(NULL, curl_slist_append(__VA_ARGS__))
#define curl_url() FAIL_OR(NULL, curl_url())
#define epoll_create1(flags) FAIL_OR(-1, epoll_create1(flags))
#define epoll_ctl(...) FAIL_OR(-1, epoll_ctl(__VA_ARGS__))

#include "http/connection.c"
#include "http/environment.c"
#include "http/http.c"
#include "http/lookup.c"
#include "http/memory.c"
#include "http/network.c"
#include "http/rules.c"
#include "http/transfer.c"

#define BODY "{\"access_token\":\"a token\"}"

static char url[100];
static int unended = 0;
static int wrong_answers = 0;

static bool
wait_for(HttpResponse *response)
{
	int64_t deadline = now_ms() + 1000;

	while (http_next_completed(response) == NULL)
	{
		struct pollfd set = {.fd = http_epoll_fd(), .events = POLLIN};
		long timeout = http_timeout_ms();

		if (now_ms() > deadline)
		{
			unended++;
			memset(response, 0, sizeof(*response));
			return false;
		}
		poll(&set, 1, timeout < 0 || timeout > 100 ? 100 : (int) timeout);
		http_drive();
	}
	return true;
}

static bool
start_and_wait(void)
{
	HttpRequest request = {.url = url,
						   .content_type = "application/x-www-form-urlencoded",
						   .authorization = "Basic c2VjcmV0",
						   .body = "grant_type=refresh_token",
						   .body_len = strlen("grant_type=refresh_token")};
	HttpResponse response;
	bool answered;
	int owner;

	if (http_start(&request, &owner) == NULL || !wait_for(&response))
		return false;
	answered = response.outcome == HTTP_ANSWERED;
	if (answered && (response.status != 200 || response.body == NULL ||
					 strcmp(response.body, BODY) != 0 || response.body_len != strlen(BODY)))
		wrong_answers++;
	if (!answered && response.error[0] == '\0')
		wrong_answers++;
	http_response_free(&response);
	return answered;
}

static bool
transfer(const void *ca_file)
{
	HttpPolicy policy = {true, "", "", ca_file, 2000, 300};
	bool done;

	if (!http_init())
		return false;
	done = http_set_policy(&policy) && start_and_wait();
	http_shutdown();
	return done;
}

/* Through a proxy that refuses */
static bool
refused_tunnel(const void *proxy)
{
	HttpPolicy policy = {false, "", "", "", 2000, 300, proxy, ""};
	HttpRequest request = {.url = "https://1.1.1.1/token"};
	HttpResponse response;
	bool as_promised = false;
	int owner;

	if (!http_init())
		return false;
	if (http_set_policy(&policy) && http_start(&request, &owner) != NULL)
	{
		wait_for(&response);
		as_promised = response.outcome == HTTP_NOT_SENT && strstr(response.error, "answered 407");
		if (response.outcome == HTTP_ANSWERED || response.error[0] == '\0')
			wrong_answers++;
		http_response_free(&response);
	}
	http_shutdown();
	return as_promised;
}

/* The policy of before stays when the new one cannot be had. */
static bool
change_policy(const void *unused)
{
	HttpPolicy policy = {true, "10.0.0.0/8", "idp.internal",        "",
						 2000, 300,          "http://a:b@c.test:1", "corp.example"};
	int at = failing_at;
	bool changed;

	failing_at = 0;
	if (!http_init() || !http_set_policy(&(HttpPolicy){true, "", "", "", 2000, 300}))
		return false;
	failing_at = at;
	failing_calls = 0;
	changed = http_set_policy(&policy);
	failing_at = 0;
	if (!changed && !start_and_wait())
		wrong_answers++;
	failing_at = at;
	failing_calls = changed ? 0 : at;
	http_shutdown();
	return changed;
}

int
main(void)
{
	FaultServer server = fault_server_start(NULL);
	char proxy[64];

	fault_server_rules(&server,
					   "[{\"path\":\"/token\",\"status\":200,\"headers\":{\"retry-after\":\"5\","
					   "\"content-type\":\"application/json\"},\"body\":%s}]",
					   BODY);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/token", server.port);

	each_failure("a transfer", transfer, "", true);
	ok(unended == 0, "each transfer ends");
	ok(wrong_answers == 0, "each answer is the provider's, and each failure says why");
	snprintf(proxy, sizeof(proxy), "http://user:password@127.0.0.1:%d", server.port);
	fault_server_rules(&server, "[{\"path\":\"*\",\"status\":407}]");
	each_failure("a call through a proxy", refused_tunnel, proxy, true);
	ok(unended == 0 && wrong_answers == 0, "each such call ends, and says why");
	fault_server_rules(&server,
					   "[{\"path\":\"/token\",\"status\":200,\"headers\":{\"retry-after\":\"5\","
					   "\"content-type\":\"application/json\"},\"body\":%s}]",
					   BODY);
	each_failure("a change of policy", change_policy, NULL, false);
	ok(wrong_answers == 0, "and the policy of before stays in force");
	fault_server_stop(&server);
	return tap_done();
}
