/* post.c
 * The yardstick of the stream: a plain libcurl loop that posts one ready-made body again and again.
 * Does not know events; it encodes, signs and checks nothing.
 * SPDX-License-Identifier: MIT
 *
 * post URL BODY_FILE BOUNDARY REQUESTS    prints the CPU seconds it took: user, system */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <curl/curl.h>

static char *read_file(const char *path, long *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *bytes = NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (*length = ftell(file)) > 0) {
        rewind(file);
        bytes = malloc((size_t)*length);
        if (bytes != NULL && fread(bytes, 1, (size_t)*length, file) != (size_t)*length) {
            free(bytes);
            bytes = NULL;
        }
    }
    (void)fclose(file);
    return bytes;
}

static size_t ignore(char *bytes, size_t size, size_t count, void *context) {
    (void)bytes;
    (void)context;
    return size * count;
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static int post_all(CURL *handle, long requests) {
    for (long i = 0; i < requests; i++) {
        long status = 0;
        CURLcode code = curl_easy_perform(handle);
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK || status != 200) {
            fprintf(stderr, "post: %s, status %ld\n", curl_easy_strerror(code), status);
            return 1;
        }
    }
    return 0;
}

int main(int count, char **arguments) {
    long length = 0;
    char type[256];
    struct rusage before, after;
    if (count != 5)
        return 2;
    char *body = read_file(arguments[2], &length);
    CURL *handle = curl_easy_init();
    if (body == NULL || handle == NULL)
        return 1;
    (void)snprintf(type, sizeof type, "Content-Type: multipart/form-data; boundary=%s",
                   arguments[3]);
    struct curl_slist *headers = curl_slist_append(NULL, type);
    headers = curl_slist_append(headers, "Authorization: 482898c9c725580c190c4df6b806f59e");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(handle, CURLOPT_URL, arguments[1]);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, length);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, ignore);
    int failed = post_all(handle, 10); /* the connection is made before the clock starts */
    getrusage(RUSAGE_SELF, &before);
    failed = failed || post_all(handle, atol(arguments[4]));
    getrusage(RUSAGE_SELF, &after);
    printf("%.6f %.6f\n", seconds(after.ru_utime) - seconds(before.ru_utime),
           seconds(after.ru_stime) - seconds(before.ru_stime));
    curl_easy_cleanup(handle);
    curl_slist_free_all(headers);
    free(body);
    return failed;
}
