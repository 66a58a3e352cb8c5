#!/bin/bash
# SPDX-License-Identifier: MIT
#
# digest.sh DIGEST
#
# The example beside sha256sum: its format, its order, its errors, and what it
# leaves behind when it is interrupted.
set -u
export LC_ALL=C

digest=$(readlink -f "$1")
passed=0 failed=0
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
cd "$temporary" || exit

check() {
    local what=$1
    shift

    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}

status_of() {
    "$@" >/dev/null 2>&1
    echo $?
}

make_tree() {
    mkdir -p tree/sub/empty tree/sub.d tree/many
    : >tree/nothing
    echo text >tree/sub/text
    head -c 1000000 /dev/zero >tree/sub/zeros
    echo a >$'tree/line\nend'
    echo b >$'tree/return\rhere'
    echo c >'tree/back\slash'
    echo d >tree/' spaces and "quotes" '
    echo e >tree/$'bytes\xff\x01'
    echo f >tree/sub.d/f
    for ((i = 0; i < 6000; i++)); do
        echo "$i" >"tree/many/$i"
    done
    ln -s sub/text tree/link
    ln -s sub tree/folderlink
    mkfifo tree/fifo
    mkdir huge
    truncate -s 1T huge/file
}

same_as_sha256sum() {
    find tree -type f -print0 | xargs -0 sha256sum | sort >expected
    "$digest" "$@" tree | sort | cmp - expected
}

accepted() {
    "$digest" tree | sha256sum --check --quiet
}

stable() {
    "$digest" -j 3 tree >first && "$digest" -j 1 tree/ >second && cmp first second
}

sorted_walk() {
    "$digest" tree/many | sed 's/.*  //' >names && sort -c names
}

missing_is_an_error() {
    "$digest" tree/sub no-such-folder tree/sub.d >out 2>err
    [[ $? -eq 1 && $(wc -l <out) -eq 3 &&
        $(cat err) == 'digest: no-such-folder: No such file or directory' ]]
}

# Root reads everything, unless it gives up what allows that.
unprivileged() {
    local without=-dac_override,-dac_read_search

    if [[ $(id -u) -eq 0 ]]; then
        setpriv --bounding-set "$without" --inh-caps "$without" "$@"
    else
        "$@"
    fi
}

unreadable_is_an_error() {
    mkdir -p closed/folder
    echo a >closed/a
    echo b >closed/b
    echo c >closed/folder/c
    chmod 0 closed/b closed/folder
    unprivileged "$digest" closed >out 2>err
    local status=$?
    chmod 700 closed/folder
    printf 'digest: %s: Permission denied\n' closed/b closed/folder >expected
    [[ $status -eq 1 && $(wc -l <out) -eq 1 ]] && sort err | cmp - expected
}

nothing_drawn() {
    "$digest" tree 2>err >/dev/null && [[ ! -s err ]]
}

full_device() {
    [[ $(status_of sh -c "'$digest' tree >/dev/full") -eq 1 ]]
}

# The processes of this program that work in this folder.
processes() {
    local exe cwd

    find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$digest" 2>/dev/null |
        while read -r exe; do
            cwd=$(readlink "${exe%exe}cwd")
            exe=${exe#/proc/}
            [[ $cwd != "$temporary" ]] || echo "${exe%/exe}"
        done
}

# The supervisor may need a moment to notice that its client is gone.
all_gone() {
    for ((i = 0; i < 20; i++)); do
        [[ -z $(processes) ]] && return 0
        sleep 0.1
    done
    return 1
}

bar_on_a_terminal() {
    mkdir -p big
    truncate -s 500M big/file
    script -qec "'$digest' big" /dev/null </dev/null >out
    grep -q '\[#*\.*\] 0/1 files ' out
}

# Waits until a worker reads the huge file, and prints its process id.
reader() {
    local pid

    for ((i = 0; i < 50; i++)); do
        for pid in $(processes); do
            if readlink /proc/"$pid"/fd/* 2>/dev/null | grep -qxF "$temporary/huge/file"; then
                echo "$pid"
                return
            fi
        done
        sleep 0.1
    done
}

killed_worker_costs_its_file() {
    "$digest" -j 2 huge tree/sub >out 2>err &
    kill -KILL "$(reader)"
    wait $!
    [[ $? -eq 1 && $(wc -l <out) -eq 2 ]] && grep -q '^digest: huge/file: .*SIGKILL' err
}

interrupted() {
    local signal=$1 expected=$2 status

    "$digest" huge >/dev/null &
    reader >/dev/null
    kill "-$signal" $!
    wait $! 2>/dev/null
    status=$?
    [[ $status -eq $expected ]] && all_gone
}

make_tree
check 'the lines of sha256sum' same_as_sha256sum
check 'the same with many processes' same_as_sha256sum -j 8
check 'sha256sum --check' accepted
check 'one order for any number of processes' stable
check 'names sorted' sorted_walk
check 'a missing folder' missing_is_an_error
check 'an unreadable file and folder' unreadable_is_an_error
check 'no bar without a terminal' nothing_drawn
check 'a bar on a terminal' bar_on_a_terminal
check 'a full device' full_device
check 'status of wrong options' test "$(status_of "$digest" -j 0 tree)" -eq 2
check 'status of no folder' test "$(status_of "$digest")" -eq 2
check '--help' test "$(status_of "$digest" --help)" -eq 0
check '--version' test "$(status_of "$digest" --version)" -eq 0
check 'a killed worker' killed_worker_costs_its_file
check 'SIGINT' interrupted INT 130
check 'SIGTERM' interrupted TERM 143
check 'SIGKILL' interrupted KILL 137
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
