/*
 * failing.h
 *	  Lets the n-th call fail, of those that cannot fail at will: allocation and
 *	  OpenSSL.
 *
 * A test includes this and then the source under test itself, whose calls are
 * counted; what libraries call is left alone.
 */
#ifndef APPUSER_CONNECTORS_FAILING_H
#define APPUSER_CONNECTORS_FAILING_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "tap.h"

static int failing_at = 0; /* the call that fails; 0: none */
static int failing_calls = 0;
static int failing_allocated = 0; /* by malloc and its like, and not yet freed */

static inline bool
failing(void)
{
	return ++failing_calls == failing_at;
}

static inline void *
failing_allocation(void *p)
{
	failing_allocated += p != NULL;
	return p;
}

static inline void
failing_free(void *p)
{
	failing_allocated -= p != NULL;
	free(p);
}

/*
 * Runs attempt with each call failing in turn, until none does.  It returns
 * whether it did what it is for, and must say no whenever a call has failed,
 * unless some may fail without harm.
 */
static inline void
each_failure(const char *name, bool (*attempt)(const void *), const void *argument, bool harmless)
{
	int wrong = 0;
	int succeeded = 0;
	int leaks = 0;

	for (failing_at = 1;; failing_at++)
	{
		int allocated = failing_allocated;
		bool done;

		failing_calls = 0;
		done = attempt(argument);
		if (failing_allocated != allocated)
		{
			printf("#   %s leaks when call %d fails\n", name, failing_at);
			leaks++;
			failing_allocated = allocated;
		}
		if (failing_calls < failing_at)
		{
			ok(done, "%s: succeeds when no call fails", name);
			break;
		}
		succeeded += done;
		if (done && !harmless)
		{
			printf("#   %s succeeds although call %d fails\n", name, failing_at);
			wrong++;
		}
	}
	ok(failing_at > 1 && succeeded < failing_at - 1, "%s: has calls that can fail", name);
	if (!harmless)
		ok(wrong == 0, "%s: fails whichever of %d calls does", name, failing_at - 1);
	ok(leaks == 0, "%s: frees what it has allocated", name);
	failing_at = 0;
}

#define FAIL_OR(failure, call) (failing() ? (failure) : (call))

#define malloc(size) failing_allocation(FAIL_OR(NULL, malloc(size)))
#define calloc(n, size) failing_allocation(FAIL_OR(NULL, calloc(n, size)))
#undef strdup
#define strdup(text) ((char *) failing_allocation(FAIL_OR(NULL, strdup(text))))
#define free(p) failing_free(p)

#define BN_bin2bn(...) FAIL_OR(NULL, BN_bin2bn(__VA_ARGS__))
#define ECDSA_SIG_new() FAIL_OR(NULL, ECDSA_SIG_new())
#define ECDSA_SIG_set0(...) FAIL_OR(0, ECDSA_SIG_set0(__VA_ARGS__))
#define EVP_CIPHER_CTX_ctrl(...) FAIL_OR(0, EVP_CIPHER_CTX_ctrl(__VA_ARGS__))
#define EVP_CIPHER_CTX_new() FAIL_OR(NULL, EVP_CIPHER_CTX_new())
#define EVP_CIPHER_CTX_set_padding(...) FAIL_OR(0, EVP_CIPHER_CTX_set_padding(__VA_ARGS__))
#define EVP_CIPHER_fetch(...) FAIL_OR(NULL, EVP_CIPHER_fetch(__VA_ARGS__))
#define EVP_CipherInit_ex2(...) FAIL_OR(0, EVP_CipherInit_ex2(__VA_ARGS__))
#define EVP_CipherUpdate(...) FAIL_OR(0, EVP_CipherUpdate(__VA_ARGS__))
#define EVP_DecryptFinal_ex(...) FAIL_OR(0, EVP_DecryptFinal_ex(__VA_ARGS__))
#define EVP_DecryptUpdate(...) FAIL_OR(0, EVP_DecryptUpdate(__VA_ARGS__))
#define EVP_DigestVerify(...) FAIL_OR(-1, EVP_DigestVerify(__VA_ARGS__))
#define EVP_DigestVerifyInit_ex(...) FAIL_OR(-1, EVP_DigestVerifyInit_ex(__VA_ARGS__))
#define EVP_EncryptFinal_ex(...) FAIL_OR(0, EVP_EncryptFinal_ex(__VA_ARGS__))
#define EVP_EncryptInit_ex2(...) FAIL_OR(0, EVP_EncryptInit_ex2(__VA_ARGS__))
#define EVP_EncryptUpdate(...) FAIL_OR(0, EVP_EncryptUpdate(__VA_ARGS__))
#define EVP_MD_CTX_new() FAIL_OR(NULL, EVP_MD_CTX_new())
#define EVP_PKEY_CTX_new_from_name(...) FAIL_OR(NULL, EVP_PKEY_CTX_new_from_name(__VA_ARGS__))
#define EVP_PKEY_CTX_new_from_pkey(...) FAIL_OR(NULL, EVP_PKEY_CTX_new_from_pkey(__VA_ARGS__))
#define EVP_PKEY_CTX_set_rsa_padding(...) FAIL_OR(-1, EVP_PKEY_CTX_set_rsa_padding(__VA_ARGS__))
#define EVP_PKEY_CTX_set_rsa_pss_saltlen(...)                                                      \
	FAIL_OR(-1, EVP_PKEY_CTX_set_rsa_pss_saltlen(__VA_ARGS__))
#define EVP_PKEY_fromdata(...) FAIL_OR(-1, EVP_PKEY_fromdata(__VA_ARGS__))
#define EVP_PKEY_fromdata_init(...) FAIL_OR(-1, EVP_PKEY_fromdata_init(__VA_ARGS__))
#define EVP_PKEY_new_raw_public_key_ex(...)                                                        \
	FAIL_OR(NULL, EVP_PKEY_new_raw_public_key_ex(__VA_ARGS__))
#define EVP_PKEY_public_check(...) FAIL_OR(-1, EVP_PKEY_public_check(__VA_ARGS__))
#define EVP_Q_mac(...) FAIL_OR(NULL, EVP_Q_mac(__VA_ARGS__))
#define OSSL_PARAM_BLD_new() FAIL_OR(NULL, OSSL_PARAM_BLD_new())
#define OSSL_PARAM_BLD_push_BN(...) FAIL_OR(0, OSSL_PARAM_BLD_push_BN(__VA_ARGS__))
#define OSSL_PARAM_BLD_push_octet_string(...)                                                      \
	FAIL_OR(0, OSSL_PARAM_BLD_push_octet_string(__VA_ARGS__))
#define OSSL_PARAM_BLD_push_utf8_string(...)                                                       \
	FAIL_OR(0, OSSL_PARAM_BLD_push_utf8_string(__VA_ARGS__))
#define OSSL_PARAM_BLD_to_param(...) FAIL_OR(NULL, OSSL_PARAM_BLD_to_param(__VA_ARGS__))
#define RAND_bytes(...) FAIL_OR(0, RAND_bytes(__VA_ARGS__))
#define i2d_ECDSA_SIG(...) FAIL_OR(-1, i2d_ECDSA_SIG(__VA_ARGS__))

#endif
