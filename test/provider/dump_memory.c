/*
 * dump_memory.c
 *	  Preloaded into a server of a test: a process that gets SIGRTMIN writes all that
 *	  its memory holds, as a core dump would, to $DUMP_DIRECTORY/PID.
 *
 * A process may always read its own memory; a debugger may not everywhere.  Uses
 * nothing that is not safe in a signal handler but sscanf.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[512];

static void
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0)
	{
		ssize_t written = write(fd, bytes, len);

		if (written <= 0)
			_exit(99);
		bytes += written;
		len -= written;
	}
}

/* A mapping's pages; those that cannot be read are left out. */
static void
dump_mapping(int out, int memory, uintptr_t start, uintptr_t end)
{
	static char page[65536];

	while (start < end)
	{
		size_t size = end - start < sizeof(page) ? end - start : sizeof(page);
		ssize_t got = pread(memory, page, size, (off_t) start);

		if (got <= 0)
			return;
		write_all(out, page, got);
		start += got;
	}
}

static void
dump(int signal_number)
{
	static char maps[1024 * 1024];
	char path[600];
	char part[610];
	int save_errno = errno;
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	int list = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int out;
	size_t len = 0;
	ssize_t got;

	(void) signal_number;
	snprintf(path, sizeof(path), "%s/%d", directory, (int) getpid());
	snprintf(part, sizeof(part), "%s.part", path);
	out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (memory < 0 || list < 0 || out < 0)
		_exit(99);
	while (len < sizeof(maps) - 1 && (got = read(list, maps + len, sizeof(maps) - 1 - len)) > 0)
		len += got;
	maps[len] = '\0';
	for (char *line = maps; line != NULL && *line != '\0';
		 line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL)
	{
		unsigned long start;
		unsigned long end;
		char mode[5];

		if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) == 3 && mode[0] == 'r' &&
			mode[1] == 'w')
			dump_mapping(out, memory, start, end);
	}
	close(out);
	close(memory);
	close(list);
	if (rename(part, path) != 0)
		_exit(99);
	errno = save_errno;
}

__attribute__((constructor)) static void
install(void)
{
	const char *given = getenv("DUMP_DIRECTORY");
	struct sigaction action = {.sa_handler = dump, .sa_flags = SA_RESTART};

	if (given == NULL || strlen(given) >= sizeof(directory))
		return;
	strcpy(directory, given);
	sigaction(SIGRTMIN, &action, NULL);
}
