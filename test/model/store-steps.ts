import { holdLog } from './log.ts'
import { isThere, type Model, rollBack } from './model.ts'
import { holdRecord, type Step } from './real.ts'

export function rollBackStep(family: number, writes: number): Step {
  return {
    check: (model) => {
      const known = model.families[family]
      return known !== undefined && known.writes.length > writes && isThere(model as Model, known)
    },
    async run(model, real) {
      const { machine } = real.world
      const known = real.families[family]!
      rollBack(model.families[family]!, writes)
      known.writes = known.writes.slice(0, -writes)
      const { snapshot, at } = known.writes.at(-1)!
      await machine.putBack(known.sid, snapshot)
      await machine.pass(known.sid, 1000 * (model.now - at))
      await holdRecord(model, real, family)
    },
    toString: () => `the store loses ${writes} writes of family ${family}`,
  }
}

export function passStep(seconds: number): Step {
  return {
    check: () => true,
    async run(model, { world, families }) {
      model.now += seconds
      await Promise.all(families.map(({ sid }) => world.machine.pass(sid, 1000 * seconds)))
    },
    toString: () => `${seconds} s pass`,
  }
}

export function restartStep(server: number): Step {
  return {
    check: () => true,
    async run(_model, { world, population, events }) {
      // Lines go out a moment after the answer, and a killed server takes those with it that have not.
      await holdLog(population.logLines, events)
      await world.restart(server)
    },
    toString: () => `server ${server} is killed and started again`,
  }
}
