/*
 * echo.h
 *	  Taking out of a server's words what it was sent in confidence.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_ECHO_H
#define APPUSER_CONNECTORS_OAUTH_ECHO_H

#include "oauth/client.h"

/*
 * What is left of ASCII text, in its place, where "***" stands for each part of eight bytes
 * or more that is also in one of the secrets (NULL: none), or for a shorter secret as a word.
 */
extern void echo_mask(char *text, const char *const *secrets, int n_secrets);

/* The same for what a client authenticates with, in its header's form too */
extern void echo_mask_client(char *text, const OAuthClient *client);

/* The same for what could be a token, whoever's it is: so long a word */
extern void echo_mask_tokens(char *text);

#endif
