/*
 * environment.c
 *	  Variables of the environment that must not say how providers are called: who
 *	  starts a server with them means other programs, or does not know that they are set.
 *
 * What is left alone, and why it may be: OPENSSL_CONF, OPENSSL_CONF_INCLUDE,
 * OPENSSL_MODULES, OPENSSL_ENGINES and OPENSSL_ia32cap make up the server's OpenSSL, which
 * has read them long before (a FIPS provider is chosen so), and which TLS versions and
 * authorities are accepted is set for each connection.  RES_OPTIONS, LOCALDOMAIN,
 * HOSTALIASES and RESOLV_* say how names are resolved; which address may be called is
 * asked after that, and a certificate must be for the name before it.  HOME would lead
 * to .netrc, and libcurl is told not to look there.
 */
#include <stdlib.h>

#include "http/environment.h"

void
http_clear_environment(void)
{
	static const char *const names[] = {
		/* files that libcurl, and OpenSSL from 3.5 on, write the keys of all connections to */
		"SSLKEYLOGFILE",
		/* and a directory for those of QUIC */
		"QLOGDIR",
		/* authorities, in place of the system's: ca_file is the way to have others */
		"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE",
		/* nobody is to stand between the server and a provider */
		"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
		"no_proxy", "NO_PROXY",
		/* a file of user names and passwords */
		"NETRC", "CURL_HOME",
		/* another TLS library than OpenSSL, which connection.c gives its rules to */
		"CURL_SSL_BACKEND"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}
