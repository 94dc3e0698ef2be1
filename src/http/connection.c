/*
 * connection.c
 *	  The connection of one transfer: to which address, under what TLS, and that it
 *	  is this transfer's alone.
 *
 * Each request goes over HTTP/1.1 on a connection of its own, which ends with it; only
 * TLS sessions are taken up again.  A kept connection would cost less, and:
 *
 * - HTTP/1.1 ties an answer to its request by nothing but their order (RFC 9112 §9.3): an
 *   answer that came twice would be taken for the next request's, and give one app user's
 *   tokens to another.  What a connection speaks must not be taken from the answer, which
 *   may call itself HTTP/2.
 * - libcurl sends a request again by itself when a kept connection turns out to be dead, and
 *   over HTTP/2 whenever a stream is refused.  A code must be sent once, a refresh token
 *   again only when refresh.c says so.
 * - HTTP/2's buffers and header tables hold tokens, codes and client secrets for as long as
 *   a connection lives, in memory that nobody overwrites.
 *
 * A proxy is asked for a tunnel (CONNECT, RFC 9110 §9.3.6) to the host by its name, which it
 * looks up itself.  So the name is looked up here first, in a run of libcurl's that opens no
 * socket, and the proxy is not asked for addresses that the rules refuse.  What this machine
 * cannot look up is left to the proxy: many servers behind one have no DNS for names outside.
 * Whichever host it leads to, TLS in the tunnel is with the name in the URL.
 */
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "http/connection.h"
#include "http/lookup.h"
#include "http/network.h"

/*
 * Of a connection, on TLS's layer: a whole answer in the smallest chunks.  What a record costs
 * is not its bytes alone, and of a handshake's messages a few are enough.
 */
#define MAX_RECEIVED (8 * HTTP_MAX_BODY)
#define MIN_RECORD 256
#define HANDSHAKE_MESSAGE (64 * 1024)

/* Unless an option before it could not be set */
#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))

#define LOOKUP_TIME 1000L            /* ms, for a name that a proxy can look up as well */
#define MAX_PROXY_READS (128 * 1024) /* libcurl reads a proxy's answer byte by byte */

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
static CURLcode on_ssl_context(CURL *easy, void *ssl_context, void *arg);
static void on_tls_message(int is_write, int version, int type, const void *bytes, size_t len,
						   SSL *ssl, void *arg);
#if LIBCURL_VERSION_NUM >= 0x075000
static int on_request(void *arg, char *peer, char *local, int peer_port, int local_port);
#endif
static int on_progress(void *arg, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
					   curl_off_t sent);
static CURLcode set_way(HttpConnection *connection, CURL *easy);
static CURLcode set_proxy(HttpConnection *connection, CURL *easy);
static CURLcode set_authorities(CURL *easy, const HttpRules *rules);
static bool is_allowed(const HttpConnection *connection, const struct sockaddr *address);
static bool proxy_failure(CURL *easy, CURLcode code, char *text);

/* Where an SSL has the number of bytes that it has received; OpenSSL gives it once a process. */
static int received_index = -1;

void
http_connection_to(HttpConnection *connection, const char *host)
{
	const HttpRules *rules = connection->rules;

	connection->host_listed = network_hosts_contain(rules->allowed_hosts, host);
	/* http is for this machine alone */
	if ((rules->proxy[0] == '\0' && !rules->proxy_unknown) || connection->insecure ||
		network_exceptions_contain(rules->no_proxy, host))
		connection->way = HTTP_WAY_DIRECT;
	else
		connection->way = lookup_failed_lately(host) ? HTTP_WAY_PROXY : HTTP_WAY_LOOKUP;
	snprintf(connection->host, sizeof(connection->host), "%s", host);
}

bool
http_connection_goes_on(HttpConnection *connection, CURL *easy, CURLcode code)
{
	if (connection->way != HTTP_WAY_LOOKUP || connection->refused[0] != '\0' ||
		code == CURLE_OUT_OF_MEMORY)
		return false;
	if (connection->addresses_tried == 0)
		lookup_failed(connection->host);
	/* a loopback address is the proxy's own to it */
	connection->way = connection->is_loopback ? HTTP_WAY_DIRECT : HTTP_WAY_PROXY;
	connection->addresses_tried = 0;
	return set_way(connection, easy) == CURLE_OK;
}

bool
http_connection_is_tunneling(const HttpConnection *connection)
{
	return connection->way == HTTP_WAY_PROXY && !connection->request_began;
}

CURLcode
http_connection_options(HttpConnection *connection, CURL *easy, CURLSH *sessions)
{
	const HttpRules *rules = connection->rules;
	CURLcode code = CURLE_OK;

	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, connection);
#if LIBCURL_VERSION_NUM >= 0x075000
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, connection);
#endif

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SHARE, sessions);
	SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
	SET(CURLOPT_SSL_CTX_DATA, connection);
	if (code == CURLE_OK)
		code = set_authorities(easy, rules);
	return code != CURLE_OK ? code : set_way(connection, easy);
}

static CURLcode
set_way(HttpConnection *connection, CURL *easy)
{
	long timeout = connection->rules->connect_timeout_ms;
	CURLcode code = CURLE_OK;

	if (connection->way == HTTP_WAY_LOOKUP && timeout > LOOKUP_TIME)
		timeout = LOOKUP_TIME;
	SET(CURLOPT_CONNECTTIMEOUT_MS, timeout);
	if (connection->way == HTTP_WAY_PROXY)
		return code != CURLE_OK ? code : set_proxy(connection, easy);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	return code;
}

/*
 * Nothing of the request goes to the proxy but its host and port, and nothing of what the
 * proxy must be told to the host.
 */
static CURLcode
set_proxy(HttpConnection *connection, CURL *easy)
{
	const HttpRules *rules = connection->rules;
	CURLcode code = CURLE_OK;

	SET(CURLOPT_PROXY, rules->proxy);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	SET(CURLOPT_PROXYAUTH, (long) CURLAUTH_BASIC);
	if (rules->proxy_credentials != NULL)
		SET(CURLOPT_PROXYUSERPWD, rules->proxy_credentials);
	SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_PROXY_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, connection);
	SET(CURLOPT_NOPROGRESS, 0L);
	return code;
}

/*
 * libcurl calls it for each byte of the proxy's answer, of whose body it reads as much as
 * there is, without a bound and without coming back to the loop.
 */
static int
on_progress(void *arg, curl_off_t to_receive, curl_off_t received, curl_off_t to_send,
			curl_off_t sent)
{
	HttpConnection *connection = arg;

	(void) to_receive;
	(void) received;
	(void) to_send;
	(void) sent;
	return http_connection_is_tunneling(connection) && ++connection->proxy_reads > MAX_PROXY_READS;
}

/* Says what is wrong with the way to the proxy, or its answer; false when that is well. */
static bool
proxy_failure(CURL *easy, CURLcode code, char *text)
{
	long status = 0;
	long verified = X509_V_OK;

	curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status >= 200 && status <= 299)
	{
		if (code != CURLE_RECV_ERROR && code != CURLE_ABORTED_BY_CALLBACK)
			return false;
		status = 0; /* it did not come to the end of its headers */
	}
	if (status != 0)
		snprintf(text, HTTP_ERROR_SIZE, "the proxy (appuser_connectors.proxy) answered %ld",
				 status);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
	{
		curl_easy_getinfo(easy, CURLINFO_PROXY_SSL_VERIFYRESULT, &verified);
		snprintf(text, HTTP_ERROR_SIZE,
				 "the certificate of the proxy (appuser_connectors.proxy) is not accepted: %s",
				 verified == X509_V_OK || verified == X509_V_ERR_UNSPECIFIED
					 ? "it is for another name"
					 : X509_verify_cert_error_string(verified));
	}
	else
		snprintf(text, HTTP_ERROR_SIZE, "the proxy (appuser_connectors.proxy) %s",
				 code == CURLE_COULDNT_RESOLVE_PROXY ? "has a name that could not be resolved"
				 : code == CURLE_COULDNT_CONNECT     ? "could not be connected to"
				 : code == CURLE_OPERATION_TIMEDOUT  ? "did not answer in time"
				 : code == CURLE_ABORTED_BY_CALLBACK ? "answered without end"
													 : "gave no answer that can be read");
	return true;
}

void
http_connection_failure(const HttpConnection *connection, CURL *easy, CURLcode code, char *text)
{
	long verified = X509_V_OK;

	if (connection->way == HTTP_WAY_PROXY && proxy_failure(easy, code, text))
		return;
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			snprintf(text, HTTP_ERROR_SIZE, "the name of the host could not be resolved");
			break;
		case CURLE_COULDNT_CONNECT:
			snprintf(text, HTTP_ERROR_SIZE, "no connection could be made");
			break;
		case CURLE_OPERATION_TIMEDOUT:
			snprintf(text, HTTP_ERROR_SIZE, "no connection could be made in time");
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
			curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verified);
			/* libcurl's own check of the name leaves one of these */
			if (verified == X509_V_OK || verified == X509_V_ERR_UNSPECIFIED)
				snprintf(text, HTTP_ERROR_SIZE, "its certificate is not for the name of the host");
			else
				snprintf(text, HTTP_ERROR_SIZE, "its certificate is not accepted: %s",
						 X509_verify_cert_error_string(verified));
			break;
		default:
			snprintf(text, HTTP_ERROR_SIZE, "%s", curl_easy_strerror(code));
	}
}

/*
 * Of the system's authorities only the file: with a directory too, libcurl parses
 * them for every connection.  A system without that file is no reason to give up,
 * as libcurl would, when ca_file has some.
 */
static CURLcode
set_authorities(CURL *easy, const HttpRules *rules)
{
	CURLcode code = CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075400
	const char *file = curl_version_info(CURLVERSION_NOW)->cainfo;

	if (file == NULL)
		return CURLE_OK;
	code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
	if (code == CURLE_OK && access(file, R_OK) != 0 && rules->authorities != NULL &&
		rules->authorities[0] != '\0')
	{
		struct curl_blob blob = {rules->authorities, strlen(rules->authorities), CURL_BLOB_NOCOPY};

		code = curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
		if (code == CURLE_OK)
			code = curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
	}
#endif
	return code;
}

static bool
is_allowed(const HttpConnection *connection, const struct sockaddr *address)
{
	const HttpRules *rules = connection->rules;

	if (rules->allow_insecure_loopback && network_is_loopback(address))
		return true;
	/* a listed host proves by its certificate that it is the one meant */
	return !connection->insecure &&
		   (network_is_public(address) || network_list_contains(rules->allowed_networks, address) ||
			(connection->host_listed && network_is_private(address)));
}

/*
 * The policy on addresses stands here, where the one address is known that
 * would be connected to: what a name resolved to earlier proves nothing.  The proxy's
 * own is the superuser's word.
 */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	HttpConnection *connection = arg;
	int fd;

	(void) purpose;
	if (connection->way != HTTP_WAY_PROXY && !is_allowed(connection, &address->addr))
	{
		if (getnameinfo(&address->addr, address->addrlen, connection->refused,
						sizeof(connection->refused), NULL, 0, NI_NUMERICHOST) != 0)
			strcpy(connection->refused, "of unknown kind");
		return CURL_SOCKET_BAD;
	}

	connection->addresses_tried++;
	if (connection->way == HTTP_WAY_LOOKUP)
	{
		connection->is_loopback |= network_is_loopback(&address->addr);
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
	{
		/* not EAFNOSUPPORT and such, of a machine without IPv6 */
		connection->no_resources |=
			errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
		return CURL_SOCKET_BAD;
	}
	return fd;
}

/* Adds ca_file's authorities to the system's, which libcurl has loaded by now. */
static CURLcode
on_ssl_context(CURL *easy, void *ssl_context, void *arg)
{
	HttpConnection *connection = arg;
	X509_STORE *store = SSL_CTX_get_cert_store((SSL_CTX *) ssl_context);
	BIO *bio;
	X509 *certificate;
	CURLcode code = CURLE_OK;

	(void) easy;
#ifdef SSL_OP_CLEANSE_PLAINTEXT
	/* or OpenSSL keeps the last answer's bytes in its buffer */
	SSL_CTX_set_options((SSL_CTX *) ssl_context, SSL_OP_CLEANSE_PLAINTEXT);
#endif
	if (received_index < 0)
		received_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (received_index < 0)
		return CURLE_OUT_OF_MEMORY;
	SSL_CTX_set_msg_callback((SSL_CTX *) ssl_context, on_tls_message);
	if (connection->rules->authorities[0] == '\0')
		return CURLE_OK;
	bio = BIO_new_mem_buf(connection->rules->authorities, -1);
	if (bio == NULL)
		return CURLE_OUT_OF_MEMORY;
	while (code == CURLE_OK && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
	{
		if (X509_STORE_add_cert(store, certificate) != 1)
			code = CURLE_SSL_CACERT_BADFILE;
		X509_free(certificate);
	}
	BIO_free(bio);
	ERR_clear_error();
	return code;
}

/*
 * OpenSSL reads for as long as there is something to read that is not the answer's, such as
 * session tickets without end, and would have all other transfers wait.  So the records of
 * a connection are counted (the headers that OpenSSL shows have the length at their end),
 * and one that brings too much is cut off.
 */
static void
on_tls_message(int is_write, int version, int type, const void *bytes, size_t len, SSL *ssl,
			   void *arg)
{
	const unsigned char *header = bytes;
	uintptr_t received;
	size_t size = 0;

	(void) version;
	(void) arg;
	if (is_write)
		return;
	if (type == SSL3_RT_HANDSHAKE)
		size = HANDSHAKE_MESSAGE;
	else if (type == SSL3_RT_HEADER && len == SSL3_RT_HEADER_LENGTH)
	{
		size = (size_t) header[3] << 8 | header[4];
		size = size < MIN_RECORD ? MIN_RECORD : size;
	}
	received = (uintptr_t) SSL_get_ex_data(ssl, received_index) + size;
	SSL_set_ex_data(ssl, received_index, (void *) received);
	if (received > MAX_RECEIVED)
		SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN); /* reads find the end */
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* The connection stands, and the request is about to be written. */
static int
on_request(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	HttpConnection *connection = arg;

	(void) peer;
	(void) local;
	(void) peer_port;
	(void) local_port;
	connection->request_began = true;
	return CURL_PREREQFUNC_OK;
}
#endif
