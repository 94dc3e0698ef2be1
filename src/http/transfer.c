/*
 * transfer.c
 *	  One HTTP transfer: what may be asked, of whom, and what became of it.
 *
 * What matters to callers is whether the provider can have seen the request
 * (RFC 9110 9.2.2: a POST must not be repeated blindly), so "not sent" is said
 * only when libcurl wrote not one byte of it.
 *
 * Must not know OAuth, PostgreSQL, nor that there are other transfers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <openssl/crypto.h>

#include "http/connection.h"
#include "http/memory.h"
#include "http/network.h"
#include "http/transfer.h"

#define MAX_RETRY_AFTER 64

/* from 8.6 on, for some of what is out of memory to an older libcurl */
#if LIBCURL_VERSION_NUM < 0x080600
#define CURLE_TOO_LARGE ((CURLcode) 100)
#endif

static bool check_url(HttpTransfer *transfer, const char *url);
static bool unusual_host(const char *url, const char *scheme, const char *host);
static bool set_options(HttpTransfer *transfer, const HttpRequest *request, CURLSH *sessions);
static bool add_header(HttpTransfer *transfer, const char *name, const char *value);
static bool may_be_sent(const HttpTransfer *transfer);
static bool is_local_trouble(const HttpTransfer *transfer, CURLcode code);
static bool no_descriptor_left(void);
static HttpOutcome outcome_of(const HttpTransfer *transfer, CURLcode code);
static void describe(HttpTransfer *transfer, CURLcode code);

static size_t on_header(char *data, size_t size, size_t count, void *arg);
static size_t on_body(char *data, size_t size, size_t count, void *arg);
static const char *header_value(const char *line, size_t len, const char *name, size_t *value_len);
static bool is_name(const char *value, size_t len, const char *name);
static bool on_content_encoding(HttpTransfer *transfer, const char *value, size_t len);

static char *copy_bytes(const char *bytes, size_t len);
static void cleanse_free(char *bytes, size_t len);

bool
http_transfer_prepare(HttpTransfer *transfer, const HttpRequest *request, const HttpRules *rules,
					  CURLSH *sessions)
{
	transfer->rules = transfer->connection.rules = rules;
	transfer->timeout_ms = rules->request_timeout_ms;
	if (request->timeout_ms > 0 && request->timeout_ms < transfer->timeout_ms)
		transfer->timeout_ms = request->timeout_ms;
	if (!check_url(transfer, request->url))
		return false;
	if (transfer->connection.way != HTTP_WAY_DIRECT && rules->proxy_unknown)
		return http_transfer_fail(transfer, HTTP_NOT_SENT,
								  "the proxy (appuser_connectors.proxy) is not known");
	if (!transfer->connection.insecure && rules->authorities == NULL)
		return http_transfer_fail(transfer, HTTP_NOT_SENT,
								  "the file of certificate authorities cannot be read");
	if (!set_options(transfer, request, sessions))
		return http_transfer_fail(transfer, HTTP_FAILED, "request could not be prepared");
	return true;
}

bool
http_transfer_goes_on(HttpTransfer *transfer, CURLcode code, long elapsed_ms)
{
	long left = transfer->timeout_ms - elapsed_ms;

	/* a name that could not be asked for is not one that nobody knows */
	if (code == CURLE_COULDNT_RESOLVE_HOST && no_descriptor_left())
		return false;
	transfer->looked_up_ms = elapsed_ms;
	return http_connection_goes_on(&transfer->connection, transfer->easy, code) &&
		   curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, left > 1 ? left : 1L) == CURLE_OK;
}

bool
http_transfer_fail(HttpTransfer *transfer, HttpOutcome outcome, const char *reason)
{
	transfer->response.outcome = outcome;
	snprintf(transfer->response.error, HTTP_ERROR_SIZE, "%s", reason);
	return false;
}

void
http_transfer_out_of_resources(HttpTransfer *transfer)
{
	transfer->response.local_trouble = true;
	http_transfer_fail(transfer, HTTP_FAILED, OUT_OF_RESOURCES);
}

void
http_transfer_finish(HttpTransfer *transfer, CURLcode code)
{
	HttpResponse *response = &transfer->response;
	const char *type = NULL;
	long status = 0;
	curl_off_t microseconds = 0;

	response->outcome = outcome_of(transfer, code);
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &microseconds);
	response->seconds = transfer->looked_up_ms / 1000.0 + microseconds / 1000000.0;
	if (response->outcome != HTTP_ANSWERED)
	{
		response->local_trouble = is_local_trouble(transfer, code);
		http_response_free(response);
		describe(transfer, code);
		return;
	}

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	response->status = (int) status;
	curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
	if (type != NULL)
		response->content_type = copy_bytes(type, strlen(type));
	if (response->body == NULL && (response->body = copy_bytes("", 0)) == NULL)
	{
		response->local_trouble = true;
		http_transfer_fail(transfer, HTTP_UNANSWERED, OUT_OF_RESOURCES);
	}
}

void
http_transfer_release(HttpTransfer *transfer)
{
	struct curl_slist *header;

	curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
	for (header = transfer->headers; header != NULL; header = header->next)
		OPENSSL_cleanse(header->data, strlen(header->data));
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
	cleanse_free(transfer->body, transfer->body_len);
	transfer->body = NULL;
}

/* Declared in message.h. */
void
http_response_free(HttpResponse *response)
{
	cleanse_free(response->body, response->body_len);
	response->body = NULL;
	response->body_len = 0;
	free(response->content_type);
	response->content_type = NULL;
	free(response->retry_after);
	response->retry_after = NULL;
}

/*
 * What can be refused before any name is looked up.  A host in a form that
 * libcurl would rewrite (an address in octal, hexadecimal or one number, a
 * percent-encoded letter, https:/host) is refused, because others who read the
 * same URL may read another host.
 */
static bool
check_url(HttpTransfer *transfer, const char *url)
{
	CURLU *parsed = curl_url();
	char *scheme = NULL;
	char *host = NULL;
	CURLUcode code;

	if (parsed == NULL)
		return http_transfer_fail(transfer, HTTP_FAILED, "out of memory");
	code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER);
	if (code == CURLUE_OK)
		code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
	if (code == CURLUE_OK)
		code = curl_url_get(parsed, CURLUPART_HOST, &host, 0);

	transfer->connection.insecure = scheme != NULL && strcmp(scheme, "http") == 0;
	if (code == CURLUE_USER_NOT_ALLOWED)
		http_transfer_fail(transfer, HTTP_FORBIDDEN, "URL has a user name in it");
	else if (scheme != NULL && strcmp(scheme, "https") != 0 &&
			 !(transfer->connection.insecure && transfer->rules->allow_insecure_loopback))
		http_transfer_fail(transfer, HTTP_FORBIDDEN, "URL is not an https one");
	else if (code != CURLUE_OK)
		http_transfer_fail(transfer, HTTP_FAILED, "URL is malformed");
	else if (unusual_host(url, scheme, host))
		http_transfer_fail(transfer, HTTP_FORBIDDEN, "URL has a host in an unusual form");
	else
		http_connection_to(&transfer->connection, host);

	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parsed);
	return transfer->response.error[0] == '\0';
}

static bool
unusual_host(const char *url, const char *scheme, const char *host)
{
	size_t scheme_len = strlen(scheme);
	size_t host_len = strlen(host);
	const char *written = url + scheme_len;
	const char *label;
	struct in_addr address;

	if (strncasecmp(url, scheme, scheme_len) != 0 || strncmp(written, "://", 3) != 0)
		return true;
	written += 3;
	if (strncasecmp(written, host, host_len) != 0 || strchr(":/?#", written[host_len]) == NULL)
		return true;

	/* older libcurl leaves 0x7f.1 to the resolver, which knows that form too */
	if (host_len > 0 && host[host_len - 1] == '.')
		host_len--;
	label = host + host_len;
	while (label > host && label[-1] != '.')
		label--;
	if (label[strspn(label, "0123456789")] == '\0' || strncasecmp(label, "0x", 2) == 0 ||
		(host[host_len] == '.' && label + strspn(label, "0123456789") == host + host_len))
		return inet_pton(AF_INET, host, &address) != 1;
	return false;
}

static bool
set_options(HttpTransfer *transfer, const HttpRequest *request, CURLSH *sessions)
{
	const char *protocols = transfer->connection.insecure ? "http" : "https";
	CURL *easy = curl_easy_init();
	CURLcode code = CURLE_OK;

#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

	if (easy == NULL)
		return false;
	transfer->easy = easy;

	SET(CURLOPT_URL, request->url);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, protocols);
#else
	SET(CURLOPT_PROTOCOLS,
		(long) (transfer->connection.insecure ? CURLPROTO_HTTP : CURLPROTO_HTTPS));
	(void) protocols;
#endif
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* asks for none, and has libcurl decode what comes all the same; see on_content_encoding */
	SET(CURLOPT_ACCEPT_ENCODING, "identity");
	SET(CURLOPT_USERAGENT, "appuser_connectors");
	SET(CURLOPT_TIMEOUT_MS, transfer->timeout_ms);
	SET(CURLOPT_BUFFERSIZE, (long) HTTP_TRANSFER_BUFFER_SIZE);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* do not wait for the thread that still resolves a name given up */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif

	code = code != CURLE_OK
			   ? code
			   : http_connection_options(&transfer->connection, transfer->easy, sessions);

	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_error);
	SET(CURLOPT_PRIVATE, transfer);

	if (request->body != NULL)
	{
		transfer->body = copy_bytes(request->body, request->body_len);
		transfer->body_len = request->body_len;
		if (transfer->body == NULL)
			return false;
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
		SET(CURLOPT_POSTFIELDS, transfer->body);
	}
	if (request->method != NULL)
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	if (!add_header(transfer, "Accept", "application/json") ||
		!add_header(transfer, "Expect", NULL) ||
		!add_header(transfer, "Content-Type", request->content_type) ||
		(request->authorization != NULL &&
		 !add_header(transfer, "Authorization", request->authorization)))
		return false;
	for (int i = 0; i < request->n_headers; i++)
		if (!add_header(transfer, request->headers[i].name, request->headers[i].value))
			return false;
	SET(CURLOPT_HTTPHEADER, transfer->headers);

#undef SET
	return code == CURLE_OK;
}

/* No value: libcurl's own header of that name is left out. */
static bool
add_header(HttpTransfer *transfer, const char *name, const char *value)
{
	struct curl_slist *list;
	size_t size;
	char *line;

	if (value != NULL && strpbrk(value, "\r\n") != NULL)
		return false;
	size = strlen(name) + 2 + (value != NULL ? strlen(value) : 0) + 1;
	line = malloc(size);
	if (line == NULL)
		return false;
	snprintf(line, size, value != NULL ? "%s: %s" : "%s:", name, value);
	list = curl_slist_append(transfer->headers, line);
	cleanse_free(line, size);
	if (list == NULL)
		return false;
	transfer->headers = list;
	return true;
}

static bool
may_be_sent(const HttpTransfer *transfer)
{
	long request_bytes = 0;
#if LIBCURL_VERSION_NUM < 0x075000
	curl_off_t began = 0;

	/* newer ones set it, at the end, even if no request was begun */
	curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &began);
	if (began > 0)
		return true;
#endif
	/* what was asked of a proxy is among them */
	if (transfer->connection.way != HTTP_WAY_PROXY)
		curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
	return request_bytes > 0 || transfer->connection.request_began || transfer->header_bytes > 0;
}

static HttpOutcome
outcome_of(const HttpTransfer *transfer, CURLcode code)
{
	long status = 0;

	if (transfer->too_large)
		return HTTP_TOO_LARGE;
	if (code == CURLE_TOO_LARGE)
		code = CURLE_OUT_OF_MEMORY;
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	/* libcurl takes it for success when a connection ends amid the headers */
	if (code == CURLE_OK)
		return status >= 200 && transfer->headers_ended ? HTTP_ANSWERED : HTTP_UNANSWERED;

	if (may_be_sent(transfer))
	{
		/* libcurl calls a header line of more than 100 kB out of memory */
		if (code == CURLE_OUT_OF_MEMORY && !transfer->out_of_memory)
			return HTTP_TOO_LARGE;
		return HTTP_UNANSWERED;
	}
	/* which of several addresses a proxy takes, nobody knows */
	if (transfer->connection.refused[0] != '\0' &&
		(transfer->connection.addresses_tried == 0 || transfer->connection.way == HTTP_WAY_LOOKUP))
		return HTTP_FORBIDDEN;
	switch (code)
	{
		case CURLE_OUT_OF_MEMORY:
		case CURLE_FAILED_INIT:
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_BAD_FUNCTION_ARGUMENT:
		case CURLE_UNKNOWN_OPTION:
			return HTTP_FAILED;
		default:
			return HTTP_NOT_SENT;
	}
}

/* There is no answer; was it this machine that had no memory or file descriptor? */
static bool
is_local_trouble(const HttpTransfer *transfer, CURLcode code)
{
	if (transfer->out_of_memory)
		return true;
	switch (transfer->response.outcome)
	{
		case HTTP_FAILED:
			return code == CURLE_OUT_OF_MEMORY;
		case HTTP_NOT_SENT:
			/* why a name is not resolved, the resolver does not say */
			return transfer->connection.no_resources ||
				   ((code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) &&
					no_descriptor_left());
		default:
			return false;
	}
}

static bool
no_descriptor_left(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE;
	close(fd);
	return false;
}

/* Says why there is no answer: see message.h. */
static void
describe(HttpTransfer *transfer, CURLcode code)
{
	HttpResponse *response = &transfer->response;
	const char *text = curl_easy_strerror(code);
	char *p;

	if (response->outcome == HTTP_FORBIDDEN)
	{
		text = "an address that is not allowed";
		snprintf(response->detail, HTTP_ERROR_SIZE, "Address %s is not a public one.",
				 transfer->connection.refused);
	}
	else if (response->outcome == HTTP_TOO_LARGE)
		text = "answer is too large";
	else if (response->local_trouble)
		text = OUT_OF_RESOURCES;
	else if (code == CURLE_OK)
		text = "answer ended amid its headers";
	snprintf(response->error, HTTP_ERROR_SIZE, "%s", text);

	/* what libcurl says of an answer might quote it */
	if (response->outcome != HTTP_NOT_SENT)
		return;
	if (!response->local_trouble)
		http_connection_failure(&transfer->connection, transfer->easy, code, response->error);
	snprintf(response->detail, HTTP_ERROR_SIZE, "%s", transfer->curl_error);
	for (p = response->detail; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* One line of the answer's headers, those of 1xx answers and trailers too. */
static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	HttpTransfer *transfer = arg;
	size_t len = size * count;
	const char *value;
	size_t value_len;

	if (len == 0)
		return 0;
	/* the proxy's, of which nothing is the provider's answer */
	if (http_connection_is_tunneling(&transfer->connection))
		return len;
	transfer->header_bytes += len;
	if (transfer->header_bytes > HTTP_MAX_HEADER)
	{
		transfer->too_large = true;
		return 0;
	}

	if (data[0] == '\r' || data[0] == '\n')
		transfer->headers_ended = true;
	else if (len >= 5 && strncmp(data, "HTTP/", 5) == 0)
	{
		transfer->headers_ended = false;
		free(transfer->response.retry_after);
		transfer->response.retry_after = NULL;
	}
	else if ((value = header_value(data, len, "retry-after:", &value_len)) != NULL)
	{
		if (transfer->response.retry_after == NULL && value_len > 0 && value_len <= MAX_RETRY_AFTER)
			transfer->response.retry_after = copy_bytes(value, value_len);
	}
	else if ((value = header_value(data, len, "content-encoding:", &value_len)) != NULL)
	{
		if (!on_content_encoding(transfer, value, value_len))
			return 0;
	}
	else if ((value = header_value(data, len, "transfer-encoding:", &value_len)) != NULL &&
			 !is_name(value, value_len, "chunked") && !is_name(value, value_len, "identity"))
	{
		/* nobody has asked for another (RFC 9112 §7.4), and libcurl would decode it as well */
		transfer->too_large = true;
		return 0;
	}
	return len;
}

/* Of a header's line, without the white space around it; NULL: another header */
static const char *
header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
	size_t name_len = strlen(name);
	const char *end = line + len;

	if (len < name_len || strncasecmp(line, name, name_len) != 0)
		return NULL;
	line += name_len;
	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	while (end > line && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	*value_len = (size_t) (end - line);
	return line;
}

static bool
is_name(const char *value, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(value, name, len) == 0;
}

/*
 * An encoded answer is libcurl's to decode (RFC 9110 §8.4.1), chunk by chunk before on_body
 * counts the bytes.  Once only: what is encoded several times can be a few hundred bytes, and
 * terabytes between one decoder and the next, of which on_body never sees any.  A name that
 * is no encoding, such as "utf-8", says nothing about the body, and libcurl would not hand it
 * out: until 8.6 it can still be told to; what it would decode though nobody else has to know
 * it is not decoded either.
 */
static bool
on_content_encoding(HttpTransfer *transfer, const char *value, size_t len)
{
	static const char *const decoded[] = {"gzip", "x-gzip", "deflate"};
	size_t i;

	if (is_name(value, len, "identity"))
		return true;
	for (i = 0; i < sizeof(decoded) / sizeof(decoded[0]); i++)
		if (is_name(value, len, decoded[i]))
		{
			transfer->too_large = transfer->encoded;
			transfer->encoded = true;
			return !transfer->too_large;
		}
#if LIBCURL_VERSION_NUM >= 0x080700
	/* the decoders of a list, such as "gzip, gzip", stand already */
	if (memchr(value, ',', len) != NULL)
	{
		transfer->too_large = true;
		return false;
	}
#endif
	return curl_easy_setopt(transfer->easy, CURLOPT_HTTP_CONTENT_DECODING, 0L) == CURLE_OK;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	HttpTransfer *transfer = arg;
	HttpResponse *response = &transfer->response;
	size_t len = size * count;

	if (http_connection_is_tunneling(&transfer->connection))
		return len;
	if (len > HTTP_MAX_BODY - response->body_len)
	{
		transfer->too_large = true;
		return 0;
	}
	if (response->body == NULL || response->body_len + len + 1 > transfer->body_capacity)
	{
		size_t capacity = transfer->body_capacity == 0 ? 4096 : transfer->body_capacity;
		char *larger;

		while (capacity < response->body_len + len + 1)
			capacity *= 2;
		larger = malloc(capacity);
		if (larger == NULL)
		{
			transfer->out_of_memory = true;
			return 0;
		}
		/* not realloc, which would leave a copy behind */
		if (response->body_len > 0)
			memcpy(larger, response->body, response->body_len);
		cleanse_free(response->body, response->body_len);
		response->body = larger;
		transfer->body_capacity = capacity;
	}
	memcpy(response->body + response->body_len, data, len);
	response->body_len += len;
	response->body[response->body_len] = '\0';
	return len;
}

static char *
copy_bytes(const char *bytes, size_t len)
{
	char *copy = malloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, bytes, len);
		copy[len] = '\0';
	}
	return copy;
}

static void
cleanse_free(char *bytes, size_t len)
{
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, len);
	free(bytes);
}
