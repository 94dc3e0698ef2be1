/*
 * http.c
 *	  Many HTTP transfers at once, driven by one epoll set: libcurl's multi
 *	  interface.
 *
 * A transfer belongs to the pool of the policy under which it began: a pool has
 * TLS sessions of its own, so that nothing that an older policy allowed is used
 * again under a newer one.  No two transfers share a connection (connection.c
 * says why).
 *
 * Must not know OAuth, nor PostgreSQL: no palloc and no ereport, because
 * libcurl's frames must not be jumped over.  SIGPIPE is the caller's to ignore.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "http/environment.h"
#include "http/http.h"
#include "http/memory.h"
#include "http/network.h"
#include "http/rules.h"
#include "http/transfer.h"

#define EVENTS_AT_ONCE 64
#define OVERDUE 100 /* ms after its time in which libcurl should have ended a transfer */

typedef struct HttpPool
{
	struct HttpPool *next;
	uint32_t id; /* in the epoll set's events */
	HttpRules rules;
	CURLM *multi;
	CURLSH *sessions; /* of TLS */
	int transfers;
	int64_t wake_at; /* milliseconds, or -1 */
} HttpPool;

static HttpPool *pools = NULL; /* the first is of the current policy */
static uint32_t next_pool_id = 1;
static HttpTransfer *running = NULL;
static HttpTransfer *completed = NULL;
static HttpTransfer **completed_tail = &completed;
static int in_flight = 0;
static int epoll_fd = -1;
static bool some_unwatched = false; /* see on_socket */
static bool some_forgotten = false; /* see act */

static HttpPool *pool_create(const HttpPolicy *policy);
static bool pool_open(HttpPool *pool);
static void pool_free(HttpPool *pool);
static void retire_pools(void);

static void leave_pool(HttpTransfer *transfer);
static void complete(HttpTransfer *transfer);
static void collect(HttpPool *pool);
static void end_run(HttpPool *pool, HttpTransfer *transfer, CURLcode code);
static void end_unwatched(void);
static void end_overdue(void);
static void act(HttpPool *pool, curl_socket_t fd, int mask);
static void unlink_transfer(HttpTransfer *transfer);

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known);
static int on_timer(CURLM *multi, long timeout_ms, void *arg);

static void block_signals(sigset_t *saved);
static void restore_signals(const sigset_t *saved);
static int64_t now_ms(void);

bool
http_init(void)
{
	if (epoll_fd >= 0)
		return true;
	http_clear_environment();
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, cleansed_malloc, cleansed_free, cleansed_realloc,
							 cleansed_strdup, cleansed_calloc) != CURLE_OK)
		return false;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
	{
		curl_global_cleanup();
		return false;
	}
	return true;
}

void
http_shutdown(void)
{
	if (epoll_fd < 0)
		return;
	while (running != NULL)
		http_cancel(running);
	while (completed != NULL)
		http_cancel(completed);
	while (pools != NULL)
	{
		HttpPool *pool = pools;

		pools = pool->next;
		pool_free(pool);
	}
	close(epoll_fd);
	epoll_fd = -1;
	curl_global_cleanup();
}

bool
http_set_policy(const HttpPolicy *policy)
{
	HttpPool *pool;

	if (!network_list_valid(policy->allowed_networks) ||
		!network_hosts_valid(policy->allowed_hosts) ||
		(policy->no_proxy != NULL && !network_exceptions_valid(policy->no_proxy)))
		return false;
	pool = pool_create(policy);
	if (pool == NULL)
		return false;
	if (pools != NULL && http_rules_same(&pools->rules, &pool->rules))
	{
		pool_free(pool);
		return true;
	}
	pool->next = pools;
	pools = pool;
	retire_pools();
	return true;
}

bool
http_valid_networks(const char *list)
{
	return network_list_valid(list);
}

bool
http_valid_hosts(const char *list)
{
	return network_hosts_valid(list);
}

bool
http_valid_exceptions(const char *list)
{
	return network_exceptions_valid(list);
}

int
http_epoll_fd(void)
{
	return epoll_fd;
}

long
http_timeout_ms(void)
{
	int64_t wake_at = -1;
	int64_t left;
	HttpPool *pool;

	if (completed != NULL)
		return 0;
	for (pool = pools; pool != NULL; pool = pool->next)
		if (pool->wake_at >= 0 && (wake_at < 0 || pool->wake_at < wake_at))
			wake_at = pool->wake_at;
	if (some_forgotten && (wake_at < 0 || wake_at > now_ms() + OVERDUE))
		wake_at = now_ms() + OVERDUE;
	if (wake_at < 0)
		return -1;
	left = wake_at - now_ms();
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (long) left;
}

HttpTransfer *
http_start(const HttpRequest *request, void *owner)
{
	static const HttpPolicy strict = {false, "", "", "", 5000, 20000, "", "", false};
	HttpTransfer *transfer = calloc(1, sizeof(HttpTransfer));
	HttpPool *pool;
	sigset_t saved;
	bool added;

	if (transfer == NULL)
		return NULL;
	transfer->owner = owner;
	in_flight++;

	if ((pools == NULL && !http_set_policy(&strict)) || !pool_open(pools))
	{
		http_transfer_out_of_resources(transfer);
		complete(transfer);
		return transfer;
	}
	pool = pools;
	if (!http_transfer_prepare(transfer, request, &pool->rules, pool->sessions))
	{
		complete(transfer);
		return transfer;
	}

	block_signals(&saved);
	added = curl_multi_add_handle(pool->multi, transfer->easy) == CURLM_OK;
	restore_signals(&saved);
	if (!added)
	{
		http_transfer_out_of_resources(transfer);
		complete(transfer);
		return transfer;
	}

	transfer->pool = pool;
	transfer->started_at = now_ms();
	pool->transfers++;
	transfer->next = running;
	transfer->link = &running;
	if (running != NULL)
		running->link = &transfer->next;
	running = transfer;
	return transfer;
}

void
http_drive(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	HttpPool *pool;
	sigset_t saved;
	int count;
	int i;

	if (epoll_fd < 0)
		return;

	/* names are resolved in threads, which must not take the caller's signals */
	block_signals(&saved);

	count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, 0);
	for (i = 0; i < count; i++)
	{
		uint32_t pool_id = (uint32_t) (events[i].data.u64 >> 32);
		curl_socket_t fd = (curl_socket_t) (events[i].data.u64 & 0xffffffff);
		int mask = 0;

		if (events[i].events & EPOLLIN)
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		/* readable too, so that libcurl reads what there is, or the error */
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			mask |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
		for (pool = pools; pool != NULL; pool = pool->next)
			if (pool->id == pool_id)
				act(pool, fd, mask);
	}

	for (pool = pools; pool != NULL; pool = pool->next)
	{
		if (pool->wake_at >= 0 && pool->wake_at <= now_ms())
		{
			/* libcurl sets it again when there is more to wait for */
			pool->wake_at = -1;
			act(pool, CURL_SOCKET_TIMEOUT, 0);
		}
		collect(pool);
	}
	end_unwatched();
	end_overdue();
	retire_pools();
	cleanse_transfer_buffers();

	restore_signals(&saved);
}

void *
http_next_completed(HttpResponse *response)
{
	HttpTransfer *transfer = completed;
	void *owner;

	if (transfer == NULL)
		return NULL;
	owner = transfer->owner;
	*response = transfer->response;
	memset(&transfer->response, 0, sizeof(transfer->response));
	http_cancel(transfer);
	return owner;
}

void
http_cancel(HttpTransfer *transfer)
{
	sigset_t saved;

	block_signals(&saved);
	unlink_transfer(transfer);
	leave_pool(transfer);
	http_transfer_release(transfer);
	restore_signals(&saved);

	http_response_free(&transfer->response);
	free(transfer);
	in_flight--;
}

int
http_in_flight(void)
{
	return in_flight;
}

static HttpPool *
pool_create(const HttpPolicy *policy)
{
	HttpPool *pool = calloc(1, sizeof(HttpPool));

	if (pool == NULL)
		return NULL;
	pool->wake_at = -1;
	if (!http_rules_make(&pool->rules, policy))
	{
		pool_free(pool);
		return NULL;
	}
	return pool;
}

/* Its handles, when the first transfer needs them. */
static bool
pool_open(HttpPool *pool)
{
	if (epoll_fd < 0)
		return false;
	if (pool->multi != NULL)
		return true;
	pool->sessions = curl_share_init();
	pool->multi = curl_multi_init();
	if (pool->sessions == NULL || pool->multi == NULL ||
		curl_share_setopt(pool->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
			CURLSHE_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK)
	{
		if (pool->multi != NULL)
			curl_multi_cleanup(pool->multi);
		if (pool->sessions != NULL)
			curl_share_cleanup(pool->sessions);
		pool->multi = NULL;
		pool->sessions = NULL;
		return false;
	}
	pool->id = next_pool_id++;
	return true;
}

static void
pool_free(HttpPool *pool)
{
	if (pool->multi != NULL)
		curl_multi_cleanup(pool->multi);
	if (pool->sessions != NULL)
		curl_share_cleanup(pool->sessions);
	http_rules_free(&pool->rules);
	free(pool);
}

/* Frees the pools of older policies whose transfers have all ended. */
static void
retire_pools(void)
{
	HttpPool **link;

	if (pools == NULL)
		return;
	link = &pools->next;
	while (*link != NULL)
	{
		HttpPool *pool = *link;

		if (pool->transfers > 0)
			link = &pool->next;
		else
		{
			*link = pool->next;
			pool_free(pool);
		}
	}
}

static void
leave_pool(HttpTransfer *transfer)
{
	if (transfer->pool == NULL)
		return;
	curl_multi_remove_handle(transfer->pool->multi, transfer->easy);
	transfer->pool->transfers--;
	transfer->pool = NULL;
}

/* To the end of the completed ones; all but the response is let go. */
static void
complete(HttpTransfer *transfer)
{
	unlink_transfer(transfer);
	leave_pool(transfer);
	http_transfer_release(transfer);
	transfer->link = completed_tail;
	*completed_tail = transfer;
	completed_tail = &transfer->next;
}

static void
collect(HttpPool *pool)
{
	CURLMsg *message;
	int left;

	if (pool->multi == NULL)
		return;
	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		char *transfer = NULL;

		if (message->msg == CURLMSG_DONE &&
			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) == CURLE_OK)
			end_run(pool, (HttpTransfer *) transfer, code);
	}
}

/* libcurl is done with it: for good, or to go on another way. */
static void
end_run(HttpPool *pool, HttpTransfer *transfer, CURLcode code)
{
	if (!http_transfer_goes_on(transfer, code, (long) (now_ms() - transfer->started_at)))
		http_transfer_finish(transfer, code);
	else if (curl_multi_remove_handle(pool->multi, transfer->easy) == CURLM_OK &&
			 curl_multi_add_handle(pool->multi, transfer->easy) == CURLM_OK)
		return;
	else
		http_transfer_out_of_resources(transfer);
	complete(transfer);
}

/*
 * When libcurl fails (it has no memory to note a socket with) it does not say whose transfer
 * that was, nor does it come back to it.
 */
static void
act(HttpPool *pool, curl_socket_t fd, int mask)
{
	int running_count;

	if (curl_multi_socket_action(pool->multi, fd, mask, &running_count) != CURLM_OK)
		some_forgotten = true;
}

/* What libcurl has forgotten ends when it should have ended it. */
static void
end_overdue(void)
{
	HttpTransfer *transfer;
	HttpTransfer *next;

	if (!some_forgotten)
		return;
	some_forgotten = running != NULL;
	for (transfer = running; transfer != NULL; transfer = next)
	{
		next = transfer->next;
		if (now_ms() <= transfer->started_at + transfer->timeout_ms + OVERDUE)
			continue;
		transfer->out_of_memory = true;
		http_transfer_finish(transfer, CURLE_OPERATION_TIMEDOUT);
		complete(transfer);
	}
}

/* Those whose sockets could not be put into the epoll set would wait for ever. */
static void
end_unwatched(void)
{
	HttpTransfer *transfer;
	HttpTransfer *next;

	if (!some_unwatched)
		return;
	some_unwatched = false;
	for (transfer = running; transfer != NULL; transfer = next)
	{
		next = transfer->next;
		if (!transfer->unwatched)
			continue;
		transfer->out_of_memory = true;
		http_transfer_finish(transfer, CURLE_OUT_OF_MEMORY);
		complete(transfer);
	}
}

static void
unlink_transfer(HttpTransfer *transfer)
{
	if (transfer->link == NULL)
		return;
	*transfer->link = transfer->next;
	if (transfer->next != NULL)
		transfer->next->link = transfer->link;
	else if (completed_tail == &transfer->next)
		completed_tail = transfer->link;
	transfer->link = NULL;
	transfer->next = NULL;
}

/*
 * libcurl gives the whole multi handle up when this fails, so it never does: a socket
 * that cannot be waited for (fs.epoll.max_user_watches, no memory) ends its transfer.
 */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	HttpPool *pool = arg;
	struct epoll_event event;
	char *transfer = NULL;

	if (what == CURL_POLL_REMOVE)
	{
		/* it may be closed already, and so out of the set */
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		curl_multi_assign(pool->multi, fd, NULL);
		return 0;
	}
	event.events = 0;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	event.data.u64 = (uint64_t) pool->id << 32 | (uint32_t) fd;
	if (epoll_ctl(epoll_fd, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0 &&
		epoll_ctl(epoll_fd, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0)
	{
		if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) == CURLE_OK && transfer != NULL)
			some_unwatched = ((HttpTransfer *) transfer)->unwatched = true;
		return 0;
	}
	curl_multi_assign(pool->multi, fd, pool);
	return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	HttpPool *pool = arg;

	(void) multi;
	pool->wake_at = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	return 0;
}

static void
block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
