package main

import (
	"fmt"
	"os"
	"strings"
)

var failures int

// check says of what is tried whether it went well, in the lines that the runner reads.
func check(what string, try func() error) {
	if err := try(); err != nil {
		failures++
		fmt.Printf("failed %s: %s\n", what, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("ok", what)
}

// refused expects the error of a refusal that says this.
func refused(err error, code string) error {
	if err == nil {
		return fmt.Errorf("nothing said %s", code)
	}
	if !strings.Contains(err.Error(), code) {
		return err
	}
	return nil
}

func finish() {
	if failures > 0 {
		os.Exit(1)
	}
}
