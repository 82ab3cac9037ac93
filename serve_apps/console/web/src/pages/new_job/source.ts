/** The source of a new job: a file or a folder that was chosen or dropped. */
import { ARCHIVE, type Draft, nameOf } from "./draft";
import type { Dropped } from "./dropped";
import { entrypointOf, filesBelow, packed } from "./folder";

/** What a source changes in the draft. Names that the user has given stay. */
export async function sourceOf(given: Dropped, draft: Draft): Promise<Partial<Draft>> {
  if (given.folder) {
    const files = await filesBelow(given.folder);
    const file = await packed(given.folder.name, files);
    return { file, script: undefined, entrypoint: entrypointOf(files.map((item) => item.path)), ...namesOf(file, draft) };
  }
  if (!given.file) return {};
  const script = ARCHIVE.test(given.file.name) ? undefined : await given.file.text();
  return { file: given.file, script, ...namesOf(given.file, draft) };
}

function namesOf(file: File, draft: Draft): Partial<Draft> {
  const name = nameOf(file.name);
  return { experiment: draft.experiment || name, model: draft.model || name };
}
