/* json.c
 * Writes JSON text into a buffer: strings made valid, numbers in their shortest form.
 * Does not know events, nor where the values come from.
 * SPDX-License-Identifier: MIT */
#include "json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(byte) (UINT64_C(0x0101010101010101) * (uint64_t)(byte))

enum {
    ESCAPE_MAX = 6, /* \u0000 */
    WORD = 8
};

static inline uint64_t load_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, WORD);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint32_t load_half(const char *at) {
    uint32_t half;
    memcpy(&half, at, WORD / 2);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half = __builtin_bswap32(half);
#endif
    return half;
}

/* The top bit of each byte that cannot stand in a JSON string as it is: a control character, a quote,
 * a backslash or the byte of a longer character. Above the first such byte the bits may be wrong
 * (a borrow runs upwards), so only zero and the lowest bit mean anything. */
static inline uint64_t special_bytes(uint64_t word) {
    uint64_t control = word - BYTES(0x20);
    uint64_t quote = (word ^ BYTES('"')) - BYTES(1);
    uint64_t backslash = (word ^ BYTES('\\')) - BYTES(1);
    return (word | control | quote | backslash) & BYTES(0x80);
}

static inline size_t first_byte(uint64_t special) {
    return (size_t)__builtin_ctzll(special) / 8;
}

static inline bool is_plain(unsigned char byte) {
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* Copies up to the first special byte and returns how many. The last word is read a second time
 * from further back, which saves a loop over its bytes. */
static inline size_t copy_plain(char *out, const char *text, size_t length) {
    size_t at = 0;
    uint64_t special;
    for (; length - at >= WORD; at += WORD) {
        memcpy(out + at, text + at, WORD);
        special = special_bytes(load_word(text + at));
        if (special != 0)
            return at + first_byte(special);
    }
    if (length >= WORD) {
        at = length - WORD;
        memcpy(out + at, text + at, WORD);
        special = special_bytes(load_word(text + at));
        return special != 0 ? at + first_byte(special) : length;
    }
    if (length >= WORD / 2) {
        at = length - WORD / 2;
        memcpy(out, text, WORD / 2);
        memcpy(out + at, text + at, WORD / 2);
        special = special_bytes((uint64_t)load_half(text) | (uint64_t)load_half(text + at) << 32);
        if (special == 0)
            return length;
        size_t first = first_byte(special);
        return first < WORD / 2 ? first : at + first - WORD / 2;
    }
    for (; at < length && is_plain((unsigned char)text[at]); at++)
        out[at] = text[at];
    return at;
}

static size_t put_escape(char *out, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    out[0] = '\\';
    if (byte >= 0x20 || letters[byte] != 0) {
        out[1] = byte >= 0x20 ? (char)byte : letters[byte];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[byte >> 4];
    out[5] = hex[byte & 15];
    return ESCAPE_MAX;
}

/* How long a character of several bytes is; its first byte decides, and bounds the second, which
 * rules out overlong forms, surrogates and what lies above U+10FFFF (RFC 3629, section 4). */
static size_t character_shape(unsigned char first, unsigned char *low, unsigned char *high) {
    *low = 0x80;
    *high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF) {
        if (first == 0xE0)
            *low = 0xA0;
        else if (first == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (first == 0xF0)
            *low = 0x90;
        else if (first == 0xF4)
            *high = 0x8F;
        return 4;
    }
    return 0;
}

/* The bytes at `text` that belong together; `whole` says whether they are a character. */
static size_t measure_character(const char *text, size_t length, bool *whole) {
    unsigned char low, high;
    size_t size = character_shape((unsigned char)text[0], &low, &high);
    size_t at = 1;
    for (; at < size && at < length; at++) {
        unsigned char byte = (unsigned char)text[at];
        if (byte < low || byte > high)
            break;
        low = 0x80;
        high = 0xBF;
    }
    *whole = size != 0 && at == size;
    return at;
}

/* Writes what stands at `*text`, a special byte, and moves on. Returns what was written. Whole
 * characters that follow each other, as in Chinese, are one run. */
static size_t put_special(char *out, const char **text, size_t length, size_t *replaced) {
    if ((unsigned char)**text < 0x80)
        return put_escape(out, (unsigned char)*(*text)++);
    size_t run = 0, size = 0;
    bool whole = true;
    while (run < length && (unsigned char)(*text)[run] >= 0x80) {
        size = measure_character(*text + run, length - run, &whole);
        if (!whole)
            break;
        run += size;
    }
    memcpy(out, *text, run);
    *text += run;
    if (whole)
        return run;
    memcpy(out + run, "\xEF\xBF\xBD", 3);
    (*replaced)++;
    *text += size;
    return run + 3;
}

/* The rest of a string whose `text` begins with a special byte, and its closing quote. */
static size_t put_rest(qa_buf *buf, const char *text, const char *end) {
    size_t replaced = 0;
    while (text < end) {
        size_t left = (size_t)(end - text);
        /* One byte may become an escape; all the others of this round stay as they are. */
        char *out = qa_buf_reserve(buf, left + ESCAPE_MAX);
        if (out == NULL)
            return replaced;
        size_t written = put_special(out, &text, left, &replaced);
        size_t plain = copy_plain(out + written, text, (size_t)(end - text));
        text += plain;
        qa_buf_commit(buf, written + plain);
    }
    qa_buf_put_char(buf, '"');
    return replaced;
}

size_t qa_json_string(qa_buf *buf, const char *text, size_t length) {
    char *out = qa_buf_reserve(buf, length + 2);
    if (out == NULL)
        return 0;
    out[0] = '"';
    size_t plain = copy_plain(out + 1, text, length);
    if (plain < length) {
        qa_buf_commit(buf, plain + 1);
        return put_rest(buf, text + plain, text + length);
    }
    out[plain + 1] = '"';
    qa_buf_commit(buf, plain + 2);
    return 0;
}

size_t qa_json_member(qa_buf *buf, const char *key, size_t length) {
    char *out = qa_buf_reserve(buf, length + 4);
    if (out == NULL)
        return 0;
    out[0] = ',';
    out[1] = '"';
    size_t plain = copy_plain(out + 2, key, length);
    size_t replaced = 0;
    if (plain < length) {
        qa_buf_commit(buf, plain + 2);
        replaced = put_rest(buf, key + plain, key + length);
        qa_buf_put_char(buf, ':');
        return replaced;
    }
    out[plain + 2] = '"';
    out[plain + 3] = ':';
    qa_buf_commit(buf, plain + 4);
    return 0;
}

size_t qa_json_format_int(char *out, int64_t value) {
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char digits[20];
    char *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
    while (rest >= 100) {
        at -= 2;
        memcpy(at, pairs + rest % 100 * 2, 2);
        rest /= 100;
    }
    if (rest >= 10) {
        at -= 2;
        memcpy(at, pairs + rest * 2, 2);
    } else {
        *--at = (char)('0' + rest);
    }
    size_t length = (size_t)(digits + sizeof digits - at);
    size_t sign = value < 0 ? 1 : 0;
    if (sign)
        out[0] = '-';
    memcpy(out + sign, at, length);
    return length + sign;
}

/* A decimal with few places: if n / 10^k gives the value back, then n with the point k places in is
 * a decimal that reads back as it, because the division of two exact doubles is rounded correctly.
 * The smallest k gives the shortest one. Returns 0 when there is none of up to 9 places. */
static size_t format_places(char *out, double value) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    double magnitude = fabs(value);
    if (!(magnitude < 1e6)) /* so that n stays exact */
        return 0;
    for (size_t places = 1; places < sizeof powers / sizeof powers[0]; places++) {
        int64_t scaled = (int64_t)(magnitude * powers[places] + 0.5);
        if ((double)scaled / powers[places] != magnitude)
            continue;
        int64_t whole = scaled / (int64_t)powers[places];
        int64_t rest = scaled % (int64_t)powers[places];
        size_t length = 0;
        if (value < 0)
            out[length++] = '-';
        length += qa_json_format_int(out + length, whole);
        out[length] = '.';
        for (size_t digit = places; digit > 0; digit--) {
            out[length + digit] = (char)('0' + rest % 10);
            rest /= 10;
        }
        return length + 1 + places;
    }
    return 0;
}

/* The C library writes and reads the decimal point of the host's locale; JSON wants a full stop. */
static size_t with_full_stop(char *text) {
    size_t length = 0;
    for (const char *at = text; *at != '\0'; at++) {
        bool known = (*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == 'e';
        if (known)
            text[length++] = *at;
        else if (length > 0 && text[length - 1] != '.')
            text[length++] = '.';
    }
    return length;
}

size_t qa_json_format_double(char *out, double value) {
    if (value == 0)
        return qa_json_format_int(out, 0);
    if (fabs(value) < 9.2e18 && (double)(int64_t)value == value)
        return qa_json_format_int(out, (int64_t)value);
    size_t length = format_places(out, value);
    if (length > 0)
        return length;
    if (fabs(value) >= 9.2e18 && fabs(value) < 1e21) /* no double of this size has a fraction */
        return (size_t)snprintf(out, QA_JSON_NUMBER_MAX, "%.0f", value);
    /* 15 digits of a normal double are all its own, so fewer show as zeros, which %g leaves out. */
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        int written = snprintf(out, QA_JSON_NUMBER_MAX, "%.*g", digits, value);
        if (written >= QA_JSON_NUMBER_MAX || strtod(out, NULL) == value)
            break;
    }
    return with_full_stop(out);
}
