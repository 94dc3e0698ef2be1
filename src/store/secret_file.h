/*
 * secret_file.h
 *	  Whether a file is fit to hold a secret: where it lies, whose it is, who else may
 *	  read or replace it.
 */
#ifndef APPUSER_CONNECTORS_STORE_SECRET_FILE_H
#define APPUSER_CONNECTORS_STORE_SECRET_FILE_H

#include <sys/stat.h>

typedef enum SecretFileFault
{
	SECRET_FILE_FIT,
	SECRET_FILE_NOT_REGULAR,
	SECRET_FILE_OWNER, /* neither the server's user nor root */
	SECRET_FILE_MODE   /* more open than 0640 */
} SecretFileFault;

/* None of these raises an error. */
extern SecretFileFault secret_file_fault(const struct stat *status);

/*
 * Could somebody but the server's user and root put another file in the place of one
 * in this directory?
 */
extern bool secret_directory_is_open(const struct stat *status);

/* Wherever links lead to: inside it a backup would take the secret along. */
extern bool secret_is_in_data_directory(const char *path);

#endif
