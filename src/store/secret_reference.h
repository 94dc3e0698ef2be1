/*
 * secret_reference.h
 *	  Secrets given as "file:NAME" instead of by value.
 */
#ifndef APPUSER_CONNECTORS_STORE_SECRET_REFERENCE_H
#define APPUSER_CONNECTORS_STORE_SECRET_REFERENCE_H

/*
 * "file:NAME" becomes the contents of NAME in appuser_connectors.secrets_directory,
 * without a final newline; anything else is returned as it is.  Raises 22023 or
 * 58P01 for a reference that cannot be followed.
 */
extern char *secret_resolve(char *secret);

#endif
