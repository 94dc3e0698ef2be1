/*
 * environment.h
 *	  Variables of the environment that must not say how providers are called.
 */
#ifndef APPUSER_CONNECTORS_HTTP_ENVIRONMENT_H
#define APPUSER_CONNECTORS_HTTP_ENVIRONMENT_H

/*
 * Unsets them, in this process.  To be called before libcurl is initialized, and before
 * there is any other thread.
 */
extern void http_clear_environment(void);

#endif
