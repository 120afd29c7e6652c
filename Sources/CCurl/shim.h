// libcurl for Swift: <curl/curl.h>, and typed wrappers for what Swift cannot import.
//
// curl_easy_setopt, curl_easy_getinfo, curl_multi_setopt and curl_share_setopt are C variadic. Each wrapper here passes
// one argument of one C type, so the caller must name the wrapper of the type that the option's manual page gives:
//
//   _long  `long`, also for booleans, sizes and bit masks
//   _off   `curl_off_t`
//   _str   `const char *`, copied by libcurl, or NULL to reset the option
//   _ptr   any other pointer, not copied: it must stay valid as the manual page says
//   _blob  a `struct curl_blob`, whose bytes are copied before the call returns
//
// The wrappers that take a callback set the function and the pointer it is handed in one call.

#ifndef CCURL_SHIM_H
#define CCURL_SHIM_H

#include <curl/curl.h>
#include <stddef.h>

/// Receives `size * count` bytes of a body or one header line. Returns the number of bytes taken; any other number
/// fails the transfer, except CURL_WRITEFUNC_PAUSE, which pauses it and has the same bytes delivered again.
typedef size_t (*ck_write_fn)(char *bytes, size_t size, size_t count, void *context);

/// Fills at most `size * count` bytes of a request body and returns how many; 0 ends the body. CURL_READFUNC_ABORT
/// and CURL_READFUNC_PAUSE are the exceptions.
typedef size_t (*ck_read_fn)(char *buffer, size_t size, size_t count, void *context);

/// Moves the request body to `offset` before it is sent again. Returns CURL_SEEKFUNC_OK, _FAIL or _CANTSEEK.
typedef int (*ck_seek_fn)(void *context, curl_off_t offset, int origin);

// Options of a transfer.

static inline CURLcode ck_setopt_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ck_setopt_off(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ck_setopt_str(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ck_setopt_ptr(CURL *handle, CURLoption option, const void *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode ck_setopt_blob(CURL *handle, CURLoption option, const void *bytes, size_t length) {
    struct curl_blob blob = {.data = (void *)bytes, .len = length, .flags = CURL_BLOB_COPY};
    return curl_easy_setopt(handle, option, &blob);
}

/// CURLOPT_SHARE. The share handle must outlive the transfer handle.
static inline CURLcode ck_setopt_share(CURL *handle, CURLSH *share) {
    return curl_easy_setopt(handle, CURLOPT_SHARE, share);
}

static inline CURLcode ck_setopt_write(CURL *handle, ck_write_fn function, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, function);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_WRITEDATA, context);
}

static inline CURLcode ck_setopt_header(CURL *handle, ck_write_fn function, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, function);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_HEADERDATA, context);
}

static inline CURLcode ck_setopt_read(CURL *handle, ck_read_fn function, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_READFUNCTION, function);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_READDATA, context);
}

static inline CURLcode ck_setopt_seek(CURL *handle, ck_seek_fn function, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, function);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_SEEKDATA, context);
}

// What a transfer can be asked. Strings and pointers belong to the handle.

static inline CURLcode ck_getinfo_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode ck_getinfo_off(CURL *handle, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode ck_getinfo_str(CURL *handle, CURLINFO info, const char **value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode ck_getinfo_ptr(CURL *handle, CURLINFO info, void **value) {
    return curl_easy_getinfo(handle, info, value);
}

// Options of a multi handle.

static inline CURLMcode ck_msetopt_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

static inline CURLMcode ck_msetopt_ptr(CURLM *multi, CURLMoption option, const void *value) {
    return curl_multi_setopt(multi, option, value);
}

// Options of a share handle.

static inline CURLSHcode ck_shsetopt_long(CURLSH *share, CURLSHoption option, long value) {
    return curl_share_setopt(share, option, value);
}

static inline CURLSHcode ck_shsetopt_ptr(CURLSH *share, CURLSHoption option, const void *value) {
    return curl_share_setopt(share, option, value);
}

#endif
