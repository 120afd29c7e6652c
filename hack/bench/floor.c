// The floor of the benchmark: what a call of the plugin does on the wire, in C and on libcurl, and nothing else. No
// configuration, no JSON, no journal, no retries. What the plugin needs beyond this is what it costs.
//
//   floor request SERVER CA TOKEN STEP...   HTTP/2 requests on one connection, the body of the write on standard input
//
//     SERVER                                for example https://127.0.0.1:6443
//     CA, TOKEN                             files; only this CA is trusted
//     get=PATH, meta=PATH                   reads, side by side; meta asks for the metadata alone
//     post=PATH, merge=PATH, delete=PATH    one write, after the reads: create, merge patch, delete
//
//   floor start                             makes libcurl ready and ends
//
// With BERTH_BENCH_MEASURE=PROGRAM in the environment it runs that program instead, with the same arguments, and adds a
// line of JSON about it to standard error.
//
// Prints the answer to the last request. Exits 1, with a line on standard error, unless reads are answered 200, creates
// 201, and other writes 200.

#define _GNU_SOURCE
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CHost.h"

enum { maximum_transfers = 8, time_limit_ms = 30000 };

struct text {
    char *bytes;
    size_t count;
};

struct step {
    const char *name, *method, *accept, *content_type;
    long expected;
};

#define JSON "application/json"

static const struct step steps[] = {
    {"get=", "GET", "Accept: " JSON, NULL, 200},
    {"meta=", "GET", "Accept: " JSON ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1," JSON, NULL, 200},
    {"post=", "POST", "Accept: " JSON, "Content-Type: " JSON, 201},
    {"merge=", "PATCH", "Accept: " JSON, "Content-Type: application/merge-patch+json", 200},
    {"delete=", "DELETE", "Accept: " JSON, "Content-Type: " JSON, 200},
};

struct transfer {
    CURL *handle;
    const struct step *step;
    const char *path;
    struct text answer;
};

static const char measure_variable[] = "BERTH_BENCH_MEASURE";
static const char *server, *ca_file;
static char *authorization;
static CURLM *multi;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void append(struct text *text, const char *bytes, size_t count) {
    text->bytes = realloc(text->bytes, text->count + count + 1);
    if (!text->bytes) fail("out of memory");
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
    text->bytes[text->count] = 0;
}

static struct text read_all(FILE *file, const char *name) {
    struct text text = {0};
    char buffer[16384];
    size_t count;
    if (!file) fail("%s: %s", name, strerror(errno));
    append(&text, "", 0);
    while ((count = fread(buffer, 1, sizeof buffer, file)) > 0) append(&text, buffer, count);
    if (ferror(file)) fail("%s: %s", name, strerror(errno));
    return text;
}

static size_t receive(char *bytes, size_t size, size_t count, void *answer) {
    append(answer, bytes, size * count);
    return size * count;
}

static void start_libcurl(void) {
    chost_initialise();
    if (curl_global_init(CURL_GLOBAL_SSL) != CURLE_OK) fail("libcurl cannot be initialised");
    multi = curl_multi_init();
    if (!multi) fail("out of memory");
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
}

// The same options that the plugin sets.
static CURL *new_handle(void) {
    CURL *handle = curl_easy_init();
    if (!handle) fail("out of memory");
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(handle, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "");
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(handle, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "floor");
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)time_limit_ms);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
    return handle;
}

static void begin(struct transfer *transfer) {
    struct curl_slist *headers = NULL;
    char *url;
    if (asprintf(&url, "%s%s", server, transfer->path) < 0) fail("out of memory");
    transfer->handle = new_handle();
    headers = curl_slist_append(headers, transfer->step->accept);
    headers = curl_slist_append(headers, authorization);
    if (transfer->step->content_type) {
        struct text body = read_all(stdin, "standard input");
        headers = curl_slist_append(headers, transfer->step->content_type);
        headers = curl_slist_append(headers, "Expect:");
        curl_easy_setopt(transfer->handle, CURLOPT_POST, 1L);
        curl_easy_setopt(transfer->handle, CURLOPT_POSTFIELDSIZE, (long)body.count);
        curl_easy_setopt(transfer->handle, CURLOPT_POSTFIELDS, body.bytes);
        curl_easy_setopt(transfer->handle, CURLOPT_CUSTOMREQUEST, transfer->step->method);
    }
    curl_easy_setopt(transfer->handle, CURLOPT_URL, url);
    curl_easy_setopt(transfer->handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(transfer->handle, CURLOPT_WRITEDATA, &transfer->answer);
    curl_easy_setopt(transfer->handle, CURLOPT_PRIVATE, transfer);
    if (curl_multi_add_handle(multi, transfer->handle) != CURLM_OK) fail("out of memory");
}

static void check(CURLMsg *message) {
    struct transfer *transfer;
    long status = 0;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    if (message->data.result != CURLE_OK) {
        fail("%s %s: %s", transfer->step->method, transfer->path, curl_easy_strerror(message->data.result));
    }
    curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
    if (status != transfer->step->expected) {
        fail("%s %s: %ld %s", transfer->step->method, transfer->path, status, transfer->answer.bytes);
    }
}

static void perform(void) {
    int running = 0, left;
    while (true) {
        CURLMsg *message;
        if (curl_multi_perform(multi, &running) != CURLM_OK) fail("curl_multi_perform failed");
        while ((message = curl_multi_info_read(multi, &left))) {
            if (message->msg == CURLMSG_DONE) check(message);
        }
        if (running == 0) return;
        if (curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK) fail("curl_multi_poll failed");
    }
}

static struct transfer parse(const char *argument) {
    for (size_t index = 0; index < sizeof steps / sizeof *steps; index++) {
        size_t length = strlen(steps[index].name);
        if (strncmp(argument, steps[index].name, length) == 0) {
            return (struct transfer){.step = &steps[index], .path = argument + length};
        }
    }
    fail("unknown step: %s", argument);
}

static int request(char **arguments) {
    static struct transfer transfers[maximum_transfers];
    size_t count = 0, next = 0;
    server = arguments[0];
    ca_file = arguments[1];
    struct text token = read_all(fopen(arguments[2], "re"), arguments[2]);
    token.bytes[strcspn(token.bytes, "\r\n")] = 0;
    if (asprintf(&authorization, "Authorization: Bearer %s", token.bytes) < 0) fail("out of memory");
    for (char **argument = arguments + 3; *argument; argument++) {
        if (count == maximum_transfers) fail("at most %d steps", maximum_transfers);
        transfers[count++] = parse(*argument);
    }
    if (count == 0) fail("no step");
    start_libcurl();
    while (next < count && !transfers[next].step->content_type) begin(&transfers[next++]);
    if (next > 0) perform();
    if (next < count) {
        begin(&transfers[next++]);
        perform();
    }
    if (next < count) fail("the write must be the last step");
    struct text answer = transfers[count - 1].answer;
    return fwrite(answer.bytes, 1, answer.count, stdout) == answer.count ? 0 : 1;
}

// A process that posix_spawn starts inherits its parent's record of peak memory. A child of this one inherits less than
// any program needs.
static int measure(char *program, char **arguments) {
    struct rusage usage;
    int status;
    unsetenv(measure_variable);
    pid_t child = fork();
    if (child < 0) fail("fork: %s", strerror(errno));
    if (child == 0) {
        execv(program, arguments);
        fail("%s: %s", program, strerror(errno));
    }
    if (wait4(child, &status, 0, &usage) < 0) fail("wait4: %s", strerror(errno));
    fprintf(stderr, "\n{\"peakKilobytes\":%ld,\"pageFaults\":%ld}\n", usage.ru_maxrss,
            usage.ru_minflt + usage.ru_majflt);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int count, char **arguments) {
    char *program = getenv(measure_variable);
    if (program) return measure(program, arguments);
    if (count > 5 && strcmp(arguments[1], "request") == 0) return request(arguments + 2);
    if (count == 2 && strcmp(arguments[1], "start") == 0) {
        start_libcurl();
        new_handle();
        return 0;
    }
    fail("usage: floor request SERVER CA TOKEN STEP... | floor start");
}
