/*
 * jwa.c
 *	  The signature algorithms of JSON Web Algorithms (RFC 7518 §3, RFC 8037 §3.1).
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "crypto/jwa.h"

static const JwaAlgorithm algorithms[] = {
	{JWT_RS256, "RS256", "SHA256", 32}, {JWT_RS384, "RS384", "SHA384", 48},
	{JWT_RS512, "RS512", "SHA512", 64}, {JWT_PS256, "PS256", "SHA256", 32},
	{JWT_PS384, "PS384", "SHA384", 48}, {JWT_PS512, "PS512", "SHA512", 64},
	{JWT_ES256, "ES256", "SHA256", 32}, {JWT_ES384, "ES384", "SHA384", 48},
	{JWT_ES512, "ES512", "SHA512", 64}, {JWT_EDDSA, "EdDSA", NULL, 0},
	{JWT_HS256, "HS256", "SHA256", 32}, {JWT_HS384, "HS384", "SHA384", 48},
	{JWT_HS512, "HS512", "SHA512", 64},
};

const JwaAlgorithm *
jwa_algorithm(JwtAlgorithm algorithm)
{
	for (size_t i = 0; i < lengthof(algorithms); i++)
		if (algorithms[i].algorithm == algorithm)
			return &algorithms[i];
	return NULL;
}

const char *
jwt_algorithm_name(JwtAlgorithm algorithm)
{
	const JwaAlgorithm *row = jwa_algorithm(algorithm);

	return row != NULL ? row->name : NULL;
}

JwtAlgorithm
jwt_algorithm_by_name(const char *name)
{
	for (size_t i = 0; i < lengthof(algorithms); i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return algorithms[i].algorithm;
	return 0;
}
