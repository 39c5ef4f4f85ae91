import { holdTable } from './table.ts'

holdTable('lmdb')
