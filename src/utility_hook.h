/*
 * utility_hook.h
 *	  What utility commands mean for the worker and the app user.
 */
#ifndef APPUSER_CONNECTORS_UTILITY_HOOK_H
#define APPUSER_CONNECTORS_UTILITY_HOOK_H

extern void utility_hook_init(void);

#endif
