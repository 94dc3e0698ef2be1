/*
 * secret_reference.c
 *	  Secrets given as "file:NAME" instead of by value, so that they appear in no
 *	  statement, log or bind parameter.
 *
 * Who names a file need not be allowed to see what is in it.  So its place says what
 * it is for, and is never another's: clients/ for client secrets, issuers/ for keys
 * that gateways sign with, proxies/ for URLs of proxies, with their passwords.  A client secret is sent to a server, so its file also says
 * which ones, in lines before the secret:
 *
 *     origin: https://oauth2.googleapis.com
 *     endpoint: https://git.example/oauth/token
 *     the secret
 *
 * Where a provider's URL has fields in it that are known only later, the line names the
 * origin as the definition writes it: "origin: https://{subdomain}.zendesk.com".
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "base/secret.h"
#include "base/settings.h"
#include "base/url.h"
#include "oauth/url_template.h"
#include "store/secret_file.h"
#include "store/secret_reference.h"

#define PREFIX "file:"
#define CLIENTS "clients"
#define ISSUERS "issuers"
#define PROXIES "proxies"
#define MAX_SECRET 65536

static char *read_secret(const char *directory, const char *name);
static void check_directory(const char *path, const char *shown);
static void raise_unreadable(const char *directory, const char *name);
static const char *take_line(char **rest, const char *label);
static bool is_allowed(char *lines, const char *url);

static void
raise_unreadable(const char *directory, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FILE),
					errmsg("secret \"%s/%s\" cannot be read", directory, name),
					errhint("Put it into a regular file of that name in "
							"appuser_connectors.secrets_directory, readable by the server.")));
}

/* What stands in the directory cannot be put there by others. */
static void
check_directory(const char *path, const char *shown)
{
	struct stat status;

	if (stat(path, &status) == 0 && !secret_directory_is_open(&status))
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the directory of secrets cannot be trusted"),
					errdetail("%s is not a directory of the server's user or root that nobody else "
							  "can write to.",
							  shown),
					errhint("Correct it by chown and chmod go-w.")));
}

/* Where links lead to; false when nowhere. */
static bool
resolve_links(const char *path, char resolved[MAXPGPATH])
{
	char *target = realpath(path, NULL);
	bool fits = target != NULL && strlcpy(resolved, target, MAXPGPATH) < MAXPGPATH;

	free(target);
	return fits;
}

/*
 * The contents of a file, less its final newlines.  It may be a link, as those are that
 * Kubernetes mounts, but not out of its directory.
 */
static char *
read_secret(const char *directory, const char *name)
{
	char path[MAXPGPATH];
	char base[MAXPGPATH];
	char file[MAXPGPATH];
	struct stat status;
	int fd = -1;
	char *contents;
	ssize_t length;

	if (guc_secrets_directory[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("references to secrets are not configured"),
						errhint("Set appuser_connectors.secrets_directory.")));
	if (name[0] == '\0' || name[0] == '.' || strlen(name) > NAME_MAX ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
			strlen(name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a secret's file name holds letters, digits, \".\", \"_\" and "
							   "\"-\" only"),
						errdetail("It names a file in the directory \"%s\" of "
								  "appuser_connectors.secrets_directory.",
								  directory)));
	snprintf(path, sizeof(path), "%s/%s", guc_secrets_directory, directory);
	if (!resolve_links(path, base))
		raise_unreadable(directory, name);
	snprintf(path, sizeof(path), "%s/%s", base, name);
	if (!resolve_links(path, file) || strcmp(file, base) == 0 ||
		!path_is_prefix_of_path(base, file))
		raise_unreadable(directory, name);
	if (!is_absolute_path(guc_secrets_directory) || secret_is_in_data_directory(file))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the directory of secrets cannot be trusted"),
						errdetail("It is inside the data directory, or not an absolute path."),
						errhint("Move it to where no backup of the database takes it along, set "
								"appuser_connectors.secrets_directory to it, and reload.")));
	check_directory(guc_secrets_directory, "appuser_connectors.secrets_directory");
	check_directory(base, directory);
	strlcpy(path, file, sizeof(path));
	get_parent_directory(path);
	check_directory(path, directory);

	/* nor does a FIFO hold us up */
	fd = OpenTransientFile(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
	if (fd < 0 || fstat(fd, &status) != 0)
		raise_unreadable(directory, name);
	switch (secret_file_fault(&status))
	{
		case SECRET_FILE_FIT:
			break;
		case SECRET_FILE_NOT_REGULAR:
			raise_unreadable(directory, name);
			break;
		case SECRET_FILE_OWNER:
		case SECRET_FILE_MODE:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the file of secret \"%s/%s\" cannot be trusted", directory, name),
					 errdetail("It belongs neither to the server's user nor to root, or is "
							   "more open than 0640."),
					 errhint("Run chown and chmod 0600 on it (0640 if root owns it); if "
							 "others could read it, change the secret.")));
	}
	if (status.st_size > MAX_SECRET)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret \"%s/%s\" is longer than %d bytes", directory, name, MAX_SECRET)));
	contents = secret_alloc(MAX_SECRET);
	length = read(fd, contents, MAX_SECRET);
	CloseTransientFile(fd);
	if (length <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("secret \"%s/%s\" is empty or cannot be read", directory, name)));
	contents[length] = '\0';
	/* as editors of some systems begin a text */
	if (strncmp(contents, "\xef\xbb\xbf", 3) == 0)
		memmove(contents, contents + 3, (length -= 3) + 1);
	while (length > 0 && (contents[length - 1] == '\n' || contents[length - 1] == '\r'))
		contents[--length] = '\0';
	return contents;
}

/* The next line, if it begins with the label: what follows that, cut off; else NULL. */
static const char *
take_line(char **rest, const char *label)
{
	char *line = *rest;
	size_t length = strcspn(line, "\r\n");
	char *end = line + length;

	if (strncmp(line, label, strlen(label)) != 0)
		return NULL;
	*rest = end + strspn(end, "\r\n");
	*end = '\0';
	line += strlen(label);
	line += strspn(line, " \t");
	for (end--; end >= line && (*end == ' ' || *end == '\t'); end--)
		*end = '\0';
	return line;
}

/* A URL below the origin, or the very endpoint: on a shared host, others have pages too. */
static bool
is_allowed(char *lines, const char *url)
{
	const char *origin = url_is_template(url) ? url_template_origin(url) : url_origin(url);
	char *rest = lines;
	const char *value;

	for (;;)
	{
		if ((value = take_line(&rest, "origin:")) != NULL)
		{
			const char *allowed =
				url_is_template(value) ? url_template_origin(value) : url_origin(value);

			if (origin != NULL && allowed != NULL && strcmp(origin, allowed) == 0 &&
				strpbrk(strstr(value, "://") + 3, "/?#") == NULL)
				return true;
		}
		else if ((value = take_line(&rest, "endpoint:")) != NULL)
		{
			if (strcmp(value, url) == 0)
				return true;
		}
		else
			return false;
	}
}

char *
secret_resolve_client(char *secret, const char *const *urls, int n_urls)
{
	const char *name = secret + strlen(PREFIX);
	char *contents;
	char *rest;
	int n_lines = 0;

	/* no secret begins with "File:" */
	if (pg_strncasecmp(secret, PREFIX, strlen(PREFIX)) != 0)
		return secret;
	contents = read_secret(CLIENTS, name);
	for (int i = 0; i < n_urls; i++)
		if (urls[i] != NULL && !is_allowed(secret_copy(contents, strlen(contents)), urls[i]))
		{
			const char *origin =
				url_is_template(urls[i]) ? url_template_origin(urls[i]) : url_origin(urls[i]);

			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("secret \"" CLIENTS "/%s\" may not be sent to \"%s\"", name, urls[i]),
					 errdetail("Before the secret its file has no line \"origin: %s\", nor "
							   "\"endpoint: \" with the whole URL.",
							   origin != NULL ? origin : "-"),
					 errhint("If it is that server's secret, whoever put it there adds the "
							 "line.")));
		}
	rest = contents;
	while (take_line(&rest, "origin:") != NULL || take_line(&rest, "endpoint:") != NULL)
		n_lines++;
	if (n_lines == 0 || rest[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret \"" CLIENTS "/%s\" is empty or does not say where it may be sent",
						name),
				 errhint("Its first line is \"origin: https://…\", and the secret follows.")));
	return rest;
}

char *
secret_resolve_issuer(const char *reference)
{
	return read_secret(ISSUERS, reference + strlen(PREFIX));
}

char *
secret_resolve_proxy(const char *reference)
{
	const char *name = reference + strlen(PREFIX);
	char *url = read_secret(PROXIES, name);
	const char *problem = url_proxy_problem(url, true);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret \"" PROXIES "/%s\" is not the URL of a proxy", name),
				 errdetail("%s", problem),
				 errhint("It is one line such as http://user:password@proxy.example:3128.")));
	return url;
}
