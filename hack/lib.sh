# Helpers of the scripts in this folder. Sourced, never run.
# shellcheck shell=bash

# shellcheck disable=SC2034  # used by the scripts
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)

# What KUBEBUILDER_ASSETS holds comes before the machine's own programs, in whatever folder and by whomever it is called.
if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
    KUBEBUILDER_ASSETS=$(realpath -m -- "$KUBEBUILDER_ASSETS")
    export KUBEBUILDER_ASSETS
    PATH=$KUBEBUILDER_ASSETS:${PATH#"$KUBEBUILDER_ASSETS":}
fi

# Messages go to stderr, so that a script's standard output stays its result.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# usage: prints the comment at the head of the running script, which is its help.
usage() { sed -n '2,${/^#/!q;s/^# \{0,1\}//;p;}' "$0"; }

# need PROGRAM...: fails unless every program is on PATH.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || die "$program is not on PATH; hack/setup.sh installs what is needed"
    done
}

# as_root COMMAND...: runs it as root, through sudo where this is another user.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        command -v sudo >/dev/null || die "'$1' needs root, and there is no sudo"
        sudo "$@"
    fi
}

# go_folder: prints where go and gofmt are: Debian 12's, otherwise those on PATH.
go_folder() {
    if [[ -x /usr/lib/go-1.19/bin/go ]]; then
        echo /usr/lib/go-1.19/bin
    else
        local folder
        folder=$(go env GOROOT 2>/dev/null)/bin && [[ -x $folder/go && -x $folder/gofmt ]] && echo "$folder"
    fi
}

# short_hash FILE: the first twelve digits of its SHA-256.
short_hash() { sha256sum "$1" | cut -c1-12; }

# exit_on_signals: turns an interrupt into an exit, so that an EXIT trap sees it.
exit_on_signals() {
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# spawn LOG COMMAND...: starts a daemon that outlives this script: in a session of its own, with none of our
# descriptors, its output appended to LOG. Leaves its process ID in $spawned.
spawn() {
    local log=$1
    shift
    (
        trap - HUP INT TERM EXIT
        cd /
        exec </dev/null >>"$log" 2>&1
        for descriptor in "/proc/$BASHPID/fd"/*; do
            descriptor=${descriptor##*/}
            if ((descriptor > 2)); then eval "exec $descriptor>&-"; fi
        done
        exec setsid "$@"
    ) &
    spawned=$!
}

# process_is PID TEXT: whether the process lives, is no zombie, and has TEXT in its arguments.
process_is() {
    local pid=$1 text=$2 stat
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
    [[ ${stat##*) } != Z* ]] || return 1
    # In the middle of an exec a process has no arguments.
    [[ -n $text ]] || return 0
    { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$text"
}

# end_process PID TEXT: ends the process, if it is the one that process_is knows, and waits for its end. SIGTERM, with
# SIGCONT so that a stopped process sees it; after 3 seconds SIGTERM again, at which kube-apiserver no longer waits for
# its open watches; after 20 seconds SIGKILL.
end_process() {
    local pid=$1 text=$2 since=$SECONDS next=TERM
    while process_is "$pid" "$text"; do
        case $next:$((SECONDS - since)) in
            TERM:*)
                kill -TERM "$pid" 2>/dev/null || true
                kill -CONT "$pid" 2>/dev/null || true
                next=AGAIN
                ;;
            AGAIN:[3-9])
                kill -TERM "$pid" 2>/dev/null || true
                next=KILL
                ;;
            KILL:[2-9][0-9])
                say "process $pid did not end in 20 seconds: SIGKILL"
                kill -KILL "$pid" 2>/dev/null || true
                next=GIVE_UP
                ;;
            GIVE_UP:[3-9][0-9]) die "process $pid cannot be killed" ;;
        esac
        sleep 0.1
    done
}
