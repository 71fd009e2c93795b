package content_test

import (
	"errors"
	"fmt"
)

var errNoLinks = fmt.Errorf("link: %w", errors.ErrUnsupported)
