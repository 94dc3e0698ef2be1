/*
 * lineage.c
 *	  Where this cluster's timeline comes from.
 *
 * Derived from what lasts, so that neither a restart after a promotion, nor a worker
 * that came late, nor hot_standby = off makes any difference: a timeline's history file
 * (pg_wal/NNNNNNNN.history) says which timelines it descends from, and why each of them
 * was left.  A recovery to some point in time says that point there; one to the end of an
 * archive reads like a promotion.  So a file of ours tells which timeline that made:
 * noted by the postmaster as it starts, since the signal file is gone when recovery has
 * ended, and completed by the launcher.  It may come along in a base backup: what it
 * says is true of the descendants, too.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "storage/fd.h"

#include "store/lineage.h"

#define NOTE_FILE "appuser_connectors.recovery"
#define NOTE_PENDING 0 /* recovery has not ended yet, or nobody has looked since */
#define MAX_HISTORY (64 * 1024)

/* How a standby that was promoted, and a recovery that came to the archive's end, leave a
 * timeline: see xlogrecovery.c and writeTimeLineHistory(). */
#define REASON_NONE "no recovery target specified"

static bool
write_note(TimeLineID timeline)
{
	char text[32];
	int fd = BasicOpenFile(NOTE_FILE ".tmp", O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	int len = snprintf(text, sizeof(text), "%u\n", timeline);
	bool written;

	if (fd < 0)
		return false;
	written = write(fd, text, len) == len && pg_fsync(fd) == 0;
	return close(fd) == 0 && written && durable_rename(NOTE_FILE ".tmp", NOTE_FILE, LOG) == 0;
}

/* Reads a small file; false when there is none, or it is too large. */
static bool
read_file(const char *path, char *text, size_t size)
{
	FILE *file = AllocateFile(path, PG_BINARY_R);
	size_t len;

	if (file == NULL)
		return false;
	len = fread(text, 1, size, file);
	FreeFile(file);
	if (len == size)
		return false;
	text[len] = '\0';
	return true;
}

/* False: nothing was ever recovered from an archive here. */
static bool
read_note(TimeLineID *timeline)
{
	char text[32];

	return read_file(NOTE_FILE, text, sizeof(text)) && sscanf(text, "%u", timeline) == 1;
}

void
lineage_note_start(void)
{
	struct stat status;

	if (stat(RECOVERY_SIGNAL_FILE, &status) == 0 && !write_note(NOTE_PENDING))
		ereport(FATAL,
				(errcode_for_file_access(), errmsg("could not write file \"%s\": %m", NOTE_FILE),
				 errdetail("Without it this cluster could not be told from its original.")));
}

void
lineage_settle(void)
{
	TimeLineID noted;

	if (read_note(&noted) && noted == NOTE_PENDING && !write_note(GetWALInsertionTimeLine()))
		ereport(WARNING,
				(errcode_for_file_access(), errmsg("could not write file \"%s\": %m", NOTE_FILE)));
}

bool
lineage_by_promotion(TimeLineID from)
{
	TimeLineID present = GetWALInsertionTimeLine();
	TimeLineID noted = present;
	bool has_note;
	bool descends = false;
	char path[MAXPGPATH];
	char text[MAX_HISTORY];
	char *rest = text;
	char *line;

	/* nearly always, and asked for each call: no file is looked at */
	if (from == present)
		return true;
	has_note = read_note(&noted);
	/* the newest timeline is what an unfinished note is about */
	if (has_note && noted == NOTE_PENDING)
		noted = present;
	TLHistoryFilePath(path, present);
	if (!read_file(path, text, sizeof(text)))
		return false;

	/* each line: a timeline, where it was left and why; the next line's is where it led to */
	while ((line = strsep(&rest, "\n")) != NULL)
	{
		TimeLineID timeline;
		char reason[sizeof(REASON_NONE) + 1] = "";

		if (sscanf(line, "%u\t%*X/%*X\t%29[^\n]", &timeline, reason) < 1)
			continue;
		if (descends && has_note && timeline == noted)
			return false;
		descends |= timeline == from;
		if (descends && strcmp(reason, REASON_NONE) != 0)
			return false;
	}
	return descends && !(has_note && noted == present);
}
