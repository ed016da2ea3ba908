/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the URL of an endpoint: what is accepted is plain HTTP to this machine and
 * names nobody to log in as. (Answers are libcurl's to take apart.) */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *url = malloc(size + 1), *host, *end;

	memcpy(url, data, size);
	url[size] = '\0';
	if (http_url_ok(url) == 0) {
		assert(strncasecmp(url, "http:", 5) == 0);
		host = url + 5 + strspn(url + 5, "/");
		end = host + strcspn(host, "/?#");
		assert(memchr(host, '@', (size_t)(end - host)) == NULL);
		*end = '\0';
		assert(strncasecmp(host, "localhost", 9) == 0 || host[0] == '[' || (host[0] >= '0' && host[0] <= '9') || host[0] == '%');
	}
	free(url);
	return 0;
}
