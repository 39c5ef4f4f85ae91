import processOnSpawn from 'process-on-spawn'

/*
 * tap has every process that a test starts, and each of its threads, load hooks of tap's own: for coverage, and to know
 * which files were loaded. A server with them is not the one that users run, and starting it costs twice the time. So
 * they are taken off again, except where coverage is measured.
 */

/** Whether the processes that tests start are the project's own and nothing besides. */
export const IS_UNINSTRUMENTED = process.env._TAPJS_PROCESSINFO_COVERAGE_ !== '1'

const HOOKS = /"?--import=\S*@tapjs\/processinfo\S*/

// tap's own listener was added before any test was loaded, so this one has the last word.
if (IS_UNINSTRUMENTED)
  processOnSpawn.addListener((spawned) => {
    const { NODE_OPTIONS = '', ...others } = spawned.env
    const ours = Object.entries(others).filter(([name]) => !name.startsWith('_TAPJS_'))
    const options = NODE_OPTIONS.replace(HOOKS, '').trim()
    spawned.env = { ...Object.fromEntries(ours), ...(options !== '' && { NODE_OPTIONS: options }) }
  })
