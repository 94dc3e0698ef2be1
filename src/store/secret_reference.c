/*
 * secret_reference.c
 *	  Secrets given as "file:NAME" instead of by value, so that they appear in no
 *	  statement, log or bind parameter.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>

#include "storage/fd.h"

#include "base/secret.h"
#include "base/settings.h"
#include "store/secret_reference.h"

#define PREFIX "file:"
#define MAX_SECRET 65536

char *
secret_resolve(char *secret)
{
	const char *name = secret + strlen(PREFIX);
	char path[MAXPGPATH];
	struct stat status;
	int fd;
	char *contents;
	ssize_t length;

	if (strncmp(secret, PREFIX, strlen(PREFIX)) != 0)
		return secret;
	if (guc_secrets_directory[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("references to secrets are not configured"),
						errhint("Set appuser_connectors.secrets_directory.")));
	if (name[0] == '\0' || name[0] == '.' ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
			strlen(name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a secret's file name holds letters, digits, \".\", \"_\" and "
							   "\"-\" only"),
						errdetail("It names a file in appuser_connectors.secrets_directory.")));
	snprintf(path, sizeof(path), "%s/%s", guc_secrets_directory, name);

	/* no link: it could lead out of the directory; nor does a FIFO hold us up */
	fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
	if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE), errmsg("secret \"%s\" cannot be read", name),
				 errhint("Put it into a regular file of that name in "
						 "appuser_connectors.secrets_directory, readable by the server.")));
	if (status.st_size > MAX_SECRET)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("secret \"%s\" is longer than %d bytes", name, MAX_SECRET)));
	contents = secret_alloc(MAX_SECRET);
	length = read(fd, contents, MAX_SECRET);
	CloseTransientFile(fd);
	if (length <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("secret \"%s\" is empty or cannot be read", name)));
	contents[length] = '\0';
	while (length > 0 && (contents[length - 1] == '\n' || contents[length - 1] == '\r'))
		contents[--length] = '\0';
	return contents;
}
