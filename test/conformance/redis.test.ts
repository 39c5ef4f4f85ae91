import { holdTable } from './table.ts'

holdTable('redis')
