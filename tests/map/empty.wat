;; A component with nothing in it: no text, no functions, and no failure.
(component)
