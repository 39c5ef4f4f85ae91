# Says of each thing that is tried whether it went well, in the lines that the runner reads.
$stdout.sync = true
$failures = 0

def check(what)
  yield
  puts "ok #{what}"
rescue StandardError => e
  $failures += 1
  puts "failed #{what}: #{e.class} #{e.message}".tr("\n", ' ')
end

def expect(actual, expected)
  raise "#{actual.inspect} instead of #{expected.inspect}" unless actual == expected
end

def expect_error(code)
  yield
rescue OAuth2::Error => e
  expect e.code, code
else
  raise "nothing said #{code}"
end

def finish
  exit($failures.zero? ? 0 : 1)
end
