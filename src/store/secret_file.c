/*
 * secret_file.c
 *	  Whether a file is fit to hold a secret.
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"

#include "store/secret_file.h"

/*
 * The checks of the server's own private key file (check_ssl_key_file_permissions in
 * libpq/be-secure-common.c): a regular file, owned by the server's user with no access
 * for others, or by root and readable by its group.
 */
SecretFileFault
secret_file_fault(const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return SECRET_FILE_NOT_REGULAR;
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return SECRET_FILE_OWNER;
	if ((status->st_uid == geteuid() && (status->st_mode & (S_IRWXG | S_IRWXO) & ~S_IRGRP)) ||
		(status->st_uid == 0 && (status->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))))
		return SECRET_FILE_MODE;
	return SECRET_FILE_FIT;
}

/* Under the sticky bit others may add files, which their owner gives away, but move none. */
bool
secret_directory_is_open(const struct stat *status)
{
	return !S_ISDIR(status->st_mode) || (status->st_uid != geteuid() && status->st_uid != 0) ||
		   ((status->st_mode & (S_IWGRP | S_IWOTH)) && !(status->st_mode & S_ISVTX));
}

bool
secret_is_in_data_directory(const char *path)
{
	char *file = realpath(path, NULL);
	char *directory = realpath(DataDir, NULL);
	bool inside = path_is_prefix_of_path(DataDir, path) ||
				  (file != NULL && directory != NULL && path_is_prefix_of_path(directory, file));

	free(file);
	free(directory);
	return inside;
}
