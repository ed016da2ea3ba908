/* SPDX-License-Identifier: Apache-2.0 */
/* stage: a driver in mid-incident, for what strangers say to it. The engine has come
 * through a golden story up to its first squeezes; each input begins there again.
 * The cgroups are those of a captured machine. Nothing can be carried out: no journal,
 * no helper. Paths are of the repository's root, where tests/fuzz/run is at home. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "conf/policies.h"
#include "core/trace.h"
#include "ctl/driver.h"

#define STAGE_STORY "tests/replay/siblings-enforce.trace"
#define STAGE_ROOT  "tests/roots/v2"

static struct stage {
	struct loop loop;
	struct driver driver;
	struct helpers helpers;
	struct policy_set set;
	struct sampler *sampler;
	struct engine *engine;
	void *image;                    /* of the engine */
	usec_t now;
} stage;

static inline void stage_must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "stage: %s\n", what);
	abort();
}

static inline void stage_tell(void)
{
	static char line[TRACE_LINE_MAX], text[CONF_TEXT_MAX];
	static struct trace_reader reader;
	static struct actions actions;
	static struct engine_view view;
	struct guard_settings ignored;
	struct conf *conf = conf_new();
	FILE *f = fopen(STAGE_STORY, "re");
	struct trace_item item;

	stage_must(f != NULL && conf != NULL, STAGE_STORY " can not be read; run from the repository's root");
	while (view.n_squeezes == 0 && fgets(line, sizeof(line), f) != NULL) {
		stage_must(trace_read(&reader, line, strlen(line), &item) == 0, "the story is wrong");
		if (item.type == TRACE_TEXT)
			strncat(text, item.text, item.n_text);
		else if (item.type == TRACE_INIT) {
			stage_must(conf_text_load(conf, text, strlen(text), "story", &stage.set, &ignored) == 0, "its policies are wrong");
			engine_init(stage.engine, &stage.set, item.seed);
		} else if (item.type == TRACE_EVENT) {
			stage.now = item.event.now;
			(void)engine_step(stage.engine, &item.event, &actions);
			engine_view(stage.engine, &view);
		}
	}
	stage_must(view.n_squeezes > 0, "nothing was squeezed in the story");
	(void)fclose(f);
	conf_free(conf);
}

/* The driver as it was in mid-incident, whatever the input before did. */
static inline struct driver *stage_set(void)
{
	static const struct sampler_config config = {
		.root = STAGE_ROOT, .probe = SAMPLER_PROBE_NEVER, .changed = driver_on_group, .gone = driver_on_gone, .userdata = &stage.driver,
	};

	if (stage.engine == NULL) {
		stage.engine = calloc(1, engine_size());
		stage.image = malloc(engine_size());
		stage_must(stage.engine != NULL && stage.image != NULL && loop_init(&stage.loop) == 0, "no memory");
		stage_tell();
		memcpy(stage.image, stage.engine, engine_size());
		stage.driver = (struct driver){ .loop = &stage.loop, .engine = stage.engine, .helpers = &stage.helpers, .set = &stage.set };
		stage.loop.now = stage.now;
		stage_must(sampler_new(&config, stage.now, &stage.sampler) == 0, STAGE_ROOT " can not be read");
	}
	loop_cancel_timer(&stage.loop, &stage.driver.deadline);
	loop_cancel_timer(&stage.loop, &stage.driver.tick);
	memcpy(stage.engine, stage.image, engine_size());
	stage.loop.now = stage.now;
	stage.driver = (struct driver){ .loop = &stage.loop, .engine = stage.engine, .helpers = &stage.helpers, .set = &stage.set,
					.sampler = stage.sampler, .tick = LOOP_TIMER_INIT, .deadline = LOOP_TIMER_INIT, .systemd = true };
	return &stage.driver;
}
