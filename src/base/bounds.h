/*
 * bounds.h
 *	  How much of anything a caller may give, and arguments that are held to it.
 */
#ifndef APPUSER_CONNECTORS_BASE_BOUNDS_H
#define APPUSER_CONNECTORS_BASE_BOUNDS_H

#include "fmgr.h"
#include "utils/jsonb.h"

/* Bytes, of JSON as it is stored and as it is printed */
#define MAX_CONFIG_BYTES (16 * 1024)
#define MAX_OPTIONS_BYTES (16 * 1024)
#define MAX_DEFINITION_BYTES (64 * 1024)
#define MAX_PARAMS_JSON_BYTES (64 * 1024)
#define MAX_JWKS_BYTES (256 * 1024)

#define MAX_SCOPES 256
#define MAX_SCOPES_BYTES (16 * 1024) /* of all */
#define MAX_REDIRECT_URIS 64
#define MAX_CLIENT_SECRET (64 * 1024)
#define MAX_BROWSER_BINDING 1024
#define MAX_AUDIENCE 512

/*
 * The argument; NULL for null.  Raises 54000 for one beyond max bytes, before anything of
 * it is printed: a number such as 1e131000 is short until then.
 */
extern Jsonb *bounded_jsonb_arg(FunctionCallInfo fcinfo, int i, const char *name, int max);

#endif
