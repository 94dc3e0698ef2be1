/*
 * launcher.h
 *	  The process that keeps one worker in each database that has the extension.
 */
#ifndef APPUSER_CONNECTORS_WORKER_LAUNCHER_H
#define APPUSER_CONNECTORS_WORKER_LAUNCHER_H

/* From _PG_init, when the library is preloaded */
extern void launcher_register(void);

#endif
