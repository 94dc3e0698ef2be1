/* sources: src/oauth/callback_hmac.c src/oauth/request.c src/base/secret.c src/base/base64.c */
/*
 * callback_hmac_test.c
 *	  What Shopify signs in a callback: the examples of its documentation, by whose secret
 *	  they are, whatever the order of the parameters; nothing else.
 */
#include "postgres_fe.h"

#include "oauth/callback_hmac.h"
#include "tap.h"

#define HMAC "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf"
#define SECRET "hush"

/* Of Shopify's documentation, and of an older state of it */
static const NameValue example[] = {
	{"timestamp", "1337178173"},     {"code", "0907a61c0c8d55e99db179b68161bc00"}, {"hmac", HMAC},
	{"state", "0.6784241404160823"}, {"shop", "some-shop.myshopify.com"},
};
static const NameValue older[] = {
	{"code", "0907a61c0c8d55e99db179b68161bc00"},
	{"hmac", "4712bf92ffc2917d15a2f5a273e39f0116667419aa4b6ac0b3baaf26fa3c4d20"},
	{"shop", "some-shop.myshopify.com"},
	{"signature", "anything"},
	{"timestamp", "1337178173"},
};

/* The example with one parameter other, or (value NULL) left out, or added */
static bool
with(const char *name, const char *value)
{
	NameValue params[lengthof(example) + 1];
	int n = 0;
	bool known = false;

	for (int i = 0; i < (int) lengthof(example); i++)
	{
		params[n] = example[i];
		if (strcmp(example[i].name, name) == 0)
		{
			known = true;
			if (value == NULL)
				continue;
			params[n].value = value;
		}
		n++;
	}
	if (!known && value != NULL)
		params[n++] = (NameValue){name, value};
	return callback_hmac_matches(params, n, SECRET);
}

int
main(void)
{
	static const NameValue odd[] = {
		{"b c", "d=e&f%g h"},
		{"a", ""},
		{"z*", "\xc3\xa9~"},
		{"hmac", "942743738f1574c7e23effce3a77a58b0d26900e38c97d1fd17ea501a7fb252e"}};

	ok(callback_hmac_matches(example, lengthof(example), SECRET),
	   "the example of the documentation");
	ok(callback_hmac_matches(older, lengthof(older), SECRET), "an older one, signature left out");
	ok(with("hmac", "700E2DADB827FCC8609E9D5CE208B2E9CDAAB9DF07390D2CBCA10D7C328FC4BF"),
	   "in capitals");
	ok(!callback_hmac_matches(example, lengthof(example), "hush "), "not by another secret");
	ok(!callback_hmac_matches(example, lengthof(example), ""), "nor an empty one");
	ok(!callback_hmac_matches(example, lengthof(example), NULL), "nor none");
	ok(!callback_hmac_matches(example, 0, SECRET), "nothing is not authentic");
	ok(!with("hmac", NULL), "nor is what has none");
	ok(!with("hmac", ""), "an empty one");
	ok(!with("hmac", "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4b"), "a part");
	ok(!with("hmac", HMAC "00"), "more");
	ok(!with("hmac", "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4be"),
	   "another");
	ok(!with("hmac", " 00e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf"),
	   "what is not hexadecimal");
	ok(!with("shop", "evil.myshopify.com"), "another shop");
	ok(!with("code", "0907a61c0c8d55e99db179b68161bc01"), "another code");
	ok(!with("state", NULL), "without the state");
	ok(!with("host", "YWRtaW4"), "with a parameter more");
	ok(callback_hmac_matches(odd, lengthof(odd), SECRET), "form encoded, in the order of names");
	return tap_done();
}
