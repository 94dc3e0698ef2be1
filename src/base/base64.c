/*
 * base64.c
 *	  base64 (RFC 4648 §4) and base64url without padding (§5, RFC 7515 §2).
 *
 * PostgreSQL's own encoder knows neither base64url nor how to be strict about what
 * it decodes.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/base64.h"

static const char base64_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
append_encoding(StringInfo out, const unsigned char *bytes, size_t len, const char *alphabet,
				bool padded)
{
	size_t i;

	for (i = 0; i + 2 < len; i += 3)
	{
		appendStringInfoChar(out, alphabet[bytes[i] >> 2]);
		appendStringInfoChar(out, alphabet[(bytes[i] & 0x03) << 4 | bytes[i + 1] >> 4]);
		appendStringInfoChar(out, alphabet[(bytes[i + 1] & 0x0f) << 2 | bytes[i + 2] >> 6]);
		appendStringInfoChar(out, alphabet[bytes[i + 2] & 0x3f]);
	}
	if (len - i == 1)
	{
		appendStringInfoChar(out, alphabet[bytes[i] >> 2]);
		appendStringInfoChar(out, alphabet[(bytes[i] & 0x03) << 4]);
		if (padded)
			appendStringInfoString(out, "==");
	}
	else if (len - i == 2)
	{
		appendStringInfoChar(out, alphabet[bytes[i] >> 2]);
		appendStringInfoChar(out, alphabet[(bytes[i] & 0x03) << 4 | bytes[i + 1] >> 4]);
		appendStringInfoChar(out, alphabet[(bytes[i + 1] & 0x0f) << 2]);
		if (padded)
			appendStringInfoChar(out, '=');
	}
}

void
append_base64(StringInfo out, const unsigned char *bytes, size_t len)
{
	append_encoding(out, bytes, len, base64_alphabet, true);
}

void
append_base64url(StringInfo out, const unsigned char *bytes, size_t len)
{
	append_encoding(out, bytes, len, base64url_alphabet, false);
}

static int
base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

int
decode_base64url(const char *text, size_t len, unsigned char *out)
{
	unsigned int bits = 0;
	int n_bits = 0;
	int written = 0;
	size_t i;

	if (len % 4 == 1 || len > PG_INT32_MAX)
		return -1;
	for (i = 0; i < len; i++)
	{
		int value = base64url_value(text[i]);

		if (value < 0)
			return -1;
		bits = bits << 6 | (unsigned int) value;
		n_bits += 6;
		if (n_bits >= 8)
		{
			n_bits -= 8;
			out[written++] = (unsigned char) (bits >> n_bits);
			bits &= (1U << n_bits) - 1;
		}
	}

	/* one text for one value: otherwise a signature has several spellings */
	return bits == 0 ? written : -1;
}
