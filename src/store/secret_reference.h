/*
 * secret_reference.h
 *	  Secrets given as "file:NAME" instead of by value.
 */
#ifndef APPUSER_CONNECTORS_STORE_SECRET_REFERENCE_H
#define APPUSER_CONNECTORS_STORE_SECRET_REFERENCE_H

/*
 * A client secret as it was given, to be sent to these URLs (NULL ones are skipped).
 * "file:NAME" becomes the contents of clients/NAME in
 * appuser_connectors.secrets_directory, without the lines that say where it may be sent
 * and a final newline; anything else is returned as it is.  secret_alloc'ed.  Raises
 * 42501 where the file does not allow one of the URLs, and 22023, 55000 or 58P01 for a
 * reference that cannot be followed.
 */
extern char *secret_resolve_client(char *secret, const char *const *urls, int n_urls);

/*
 * The URL of a proxy that "file:NAME" refers to, in proxies/NAME; secret_alloc'ed.  Raises
 * the same.
 */
extern char *secret_resolve_proxy(const char *reference);

/* The key that "file:NAME" refers to, in issuers/NAME; secret_alloc'ed.  Raises the same. */
extern char *secret_resolve_issuer(const char *reference);

#endif
