/*
 * callback_hmac.c
 *	  A callback's parameters, authenticated by the provider with the client's secret.
 *
 * Not of any standard: state and issuer do what it does.  Shopify has whoever takes part
 * check it.  Pure functions over bytes; must not do I/O or raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/secret.h"
#include "oauth/callback_hmac.h"
#include "oauth/request.h"

#define MAC_BYTES 32

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const NameValue *) a)->name, ((const NameValue *) b)->name);
}

/* What is about the authentication itself is no part of what it is of. */
static bool
is_authenticated(const char *name)
{
	return strcmp(name, "hmac") != 0 && strcmp(name, "signature") != 0;
}

static bool
decode_hex(const char *text, unsigned char bytes[MAC_BYTES])
{
	if (strlen(text) != 2 * MAC_BYTES || strspn(text, "0123456789abcdefABCDEF") != 2 * MAC_BYTES)
		return false;
	for (int i = 0; i < MAC_BYTES; i++)
	{
		char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};

		bytes[i] = (unsigned char) strtoul(digits, NULL, 16);
	}
	return true;
}

bool
callback_hmac_matches(const NameValue *params, int n_params, const char *client_secret)
{
	NameValue *sorted = palloc(sizeof(NameValue) * (size_t) (n_params + 1));
	unsigned char given[MAC_BYTES];
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t mac_len = 0;
	size_t size = 1;
	bool is_given = false;
	bool matches;
	StringInfoData message;
	int n = 0;

	for (int i = 0; i < n_params; i++)
	{
		if (strcmp(params[i].name, "hmac") == 0)
			is_given = decode_hex(params[i].value, given);
		if (!is_authenticated(params[i].name))
			continue;
		size += 3 * (strlen(params[i].name) + strlen(params[i].value)) + 2;
		sorted[n++] = params[i];
	}
	qsort(sorted, (size_t) n, sizeof(NameValue), compare_names);

	/* it holds the code, and must not grow, which would leave a copy behind */
	message = (StringInfoData){.data = secret_alloc(size), .maxlen = (int) size + 1};
	message.data[0] = '\0';
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(&message, '&');
		append_form_encoded(&message, sorted[i].name);
		appendStringInfoChar(&message, '=');
		append_form_encoded(&message, sorted[i].value);
	}
	matches = is_given && client_secret != NULL && client_secret[0] != '\0' &&
			  EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, client_secret, strlen(client_secret),
						(const unsigned char *) message.data, (size_t) message.len, mac,
						sizeof(mac), &mac_len) != NULL &&
			  mac_len == MAC_BYTES && CRYPTO_memcmp(mac, given, MAC_BYTES) == 0;
	secret_cleanse(message.data, size);
	secret_cleanse(mac, sizeof(mac));
	pfree(sorted);
	return matches;
}
