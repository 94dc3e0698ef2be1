/*
 * descriptors.h
 *	  How many requests may be under way, by the file descriptors that there are.
 */
#ifndef APPUSER_CONNECTORS_WORKER_DESCRIPTORS_H
#define APPUSER_CONNECTORS_WORKER_DESCRIPTORS_H

/* As many as max_concurrent_requests, or fewer; never none. */
extern int descriptors_most_requests(void);

/* Says in the server log if it is fewer.  At start, and when settings have changed. */
extern void descriptors_check(void);

/*
 * Accounts for what one request needs, from its being started until it is completed, so
 * that fd.c closes files of its own in time.  Not within libcurl: it may log.
 */
extern void descriptors_reserve(void);
extern void descriptors_release(void);

#endif
