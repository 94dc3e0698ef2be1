/*
 * descriptors.c
 *	  File descriptors of requests, as storage/file/fd.c wants to know of them.
 *
 * AcquireExternalFD() would give a process a third of its descriptors at most; this one
 * reads few files and has many sockets, and leaves a third to files.
 */
#include "postgres.h"

#include "storage/fd.h"

#include "base/settings.h"
#include "worker/descriptors.h"

/*
 * Two while its name is resolved, by libcurl's thread, and two while it is connected to an
 * IPv6 and an IPv4 address at once; then one.  What the resolver opens besides, for a moment,
 * is taken from the third that is left.
 */
#define DESCRIPTORS_OF_REQUEST 2

int
descriptors_most_requests(void)
{
	int most = max_safe_fds * 2 / 3 / DESCRIPTORS_OF_REQUEST;

	return Max(Min(most, guc_max_concurrent_requests), 1);
}

void
descriptors_check(void)
{
	/* the number that was logged last */
	static int logged = 0;
	int most = descriptors_most_requests();

	if (most < guc_max_concurrent_requests && most != logged)
		ereport(LOG, (errmsg("at most %d requests to providers are sent at once, not %d", most,
							 guc_max_concurrent_requests),
					  errdetail("There are file descriptors for no more."),
					  errhint("Raise max_files_per_process, and the limit of open files that the "
							  "operating system has set for the server, or lower "
							  "appuser_connectors.max_concurrent_requests.")));
	logged = most < guc_max_concurrent_requests ? most : 0;
}

void
descriptors_reserve(void)
{
	for (int i = 0; i < DESCRIPTORS_OF_REQUEST; i++)
		ReserveExternalFD();
}

void
descriptors_release(void)
{
	for (int i = 0; i < DESCRIPTORS_OF_REQUEST; i++)
		ReleaseExternalFD();
}
